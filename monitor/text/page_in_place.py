# SPDX-License-Identifier: Apache-2.0
"""What an imported run got in clear text in place of a site's page, in a sentence. Titles and hosts
are a stranger's words: they are quoted, on one line and cut.
"""

from __future__ import annotations

from monitor.detection.fingerprints import OWN
from monitor.detection.observed.imported_run import SitePage, record_of
from monitor.detection.observed.page_in_place import AWAY, NOTHING, SAME, page_in_place
from monitor.text.certificates import safe_text
from monitor.text.language import _
from probes.wire.measurement import Measurement


def page_sentence(measurement: Measurement) -> str:
    """Which page came in place of which; empty where none is known to have."""
    record = record_of(measurement.observations)
    page, helper = record.page, record.helper
    kind = page_in_place(record, OWN, measurement.vantage.country).kind
    if page is None or helper is None or kind in (SAME, NOTHING.kind):
        return ""
    mine = _page(page)
    if kind == AWAY:
        mine = _("%(page)s, at %(host)s", page=mine, host=safe_text(page.host))
    if helper.page is None:
        return _("In clear text, another page came: %(page)s.", page=mine)
    return _(
        "In clear text, another page came: %(page)s, in place of %(other)s, which OONI’s test "
        "helper got.",
        page=mine,
        other=_page(helper.page),
    )


def _page(page: SitePage) -> str:
    if not page.title:
        return _("a page without a title (status %(status)s)", status=page.status)
    return _("“%(title)s” (status %(status)s)", title=safe_text(page.title), status=page.status)
