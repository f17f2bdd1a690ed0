# SPDX-License-Identifier: Apache-2.0
"""Addresses that a page of the past cites and links: they lead to what the page shows, not to what
is known now.
"""

from __future__ import annotations

import contextlib
import re

from yarl import URL

from monitor.interop.forms import rfc3339
from monitor.web.params import parse_time
from monitor.web.site import Site
from probes.runtime.options import OptionError

_UP_TO = re.compile("/api/v1/(measurements|timeline)")
"""Lists of measurements, which never change: a moment is where the list ends."""
_WITHOUT_MOMENT = re.compile("/api/v1/(measurements/.*|vantages|chain|openapi.json)")
"""What takes no moment."""


def at_moment(site: Site, address: str) -> str:
    """An address of the site, as one of the site's moment; at the present, or empty, as it is."""
    if site.as_of is None or not address:
        return address
    url = URL(address)
    if _WITHOUT_MOMENT.fullmatch(url.path):
        return address
    if not _UP_TO.fullmatch(url.path):
        return str(url.update_query(as_of=rfc3339(site.as_of) or ""))
    last = site.as_of + 1  # `until` is not included
    if given := url.query.get("until"):
        with contextlib.suppress(OptionError):  # the page itself refuses it
            last = min(last, parse_time(given, accessed(site)))
    return str(url.without_query_params("as_of").update_query(until=rfc3339(last) or ""))


def accessed(site: Site) -> int:
    """When a page is read (Unix ms), whatever moment it is of."""
    return (site.present_clock or site.clock)()
