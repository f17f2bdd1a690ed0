# SPDX-License-Identifier: Apache-2.0
"""Where the data are: the lists of the API, for people."""

from __future__ import annotations

from aiohttp import web

from monitor.web.api import endpoints as api
from monitor.web.render import render


async def page(request: web.Request) -> web.Response:
    """Render the list of lists."""
    lists = [(name, (endpoint.__doc__ or "").strip()) for name, endpoint in api.LISTS]
    return await render(request, "data.html", {"title": "Data", "lists": lists})
