# SPDX-License-Identifier: Apache-2.0
"""The moment that a request asks about: now, or with `?as_of=TIME` one of the past, of which it
gets state, headline and confidence as they were published.
"""

from __future__ import annotations

import dataclasses

from aiohttp import web

from monitor.web.params import BadParameterError, time_of
from monitor.web.site import SITE, Site

_MOMENT: web.RequestKey[Site] = web.RequestKey("moment", Site)


def site_of(request: web.Request) -> Site:
    """The site as it was at the moment that the request asks about. Raises BadParameterError."""
    if _MOMENT in request:
        return request[_MOMENT]
    # What is wrong with the moment is told on a page of the present.
    request[_MOMENT] = site = request.app[SITE]
    at = time_of(request, "as_of")
    if at is not None:
        if at > site.clock():
            raise BadParameterError("as_of: must not be in the future")
        site = dataclasses.replace(site, clock=lambda: at, as_of=at)
    request[_MOMENT] = site
    return site
