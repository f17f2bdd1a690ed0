# SPDX-License-Identifier: Apache-2.0
"""`POST /api/v1/enrol` and `/leave`: JSON bytes to and from `monitor.enrolment`."""

from __future__ import annotations

from aiohttp import web

from monitor.enrolment import enrol_answer, leave_answer
from monitor.web.site import SITE


async def enrol_probe(request: web.Request) -> web.Response:
    """Exchange a token for a probe's credentials."""
    site = request.app[SITE]
    enrolled = site.clock() - site.enrolled_before_ms
    status, body = await enrol_answer(
        site.database.registry, await request.read(), enrolled, site.brokers
    )
    return web.Response(status=status, body=body, content_type="application/json")


async def leave(request: web.Request) -> web.Response:
    """Revoke a probe at its own wish."""
    site = request.app[SITE]
    status, body = await leave_answer(site.database.registry, await request.read(), site.clock())
    return web.Response(status=status, body=body, content_type="application/json")
