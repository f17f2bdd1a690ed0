"""The web application: routes, error pages and headers. Each page and list is elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web
from sqlalchemy.exc import SQLAlchemyError

from monitor.metrics.exposition import expose
from monitor.store.base import StoreUnavailableError
from monitor.web import api, enrol, openapi, pages
from monitor.web.api import BadParameterError
from monitor.web.site import SITE, Site
from monitor.web.views import snapshot

log = logging.getLogger(__name__)
STATIC = Path(__file__).with_name("static")
MAX_BODY_BYTES = 16 << 10
"""Only enrolment has a body, and it is small."""
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def make_app(site: Site) -> web.Application:
    """Return the application that serves one site."""
    app = web.Application(middlewares=[_guarded], client_max_size=MAX_BODY_BYTES)
    app[SITE] = site
    app.on_response_prepare.append(_add_headers)
    router = app.router
    for name, endpoint in api.LISTS:
        router.add_get(f"/api/v1/{name}", endpoint)
    router.add_get("/api/v1/events/{id:[0-9a-f]{16}}", api.one_event)
    router.add_get("/api/v1/measurements/{id:[0-9a-f]{32}}", api.one_measurement)
    router.add_get("/api/v1/whoami", api.whoami)
    router.add_get("/api/v1/openapi.json", openapi.document)
    router.add_post("/api/v1/enrol", enrol.enrol_probe)
    router.add_post("/api/v1/leave", enrol.leave)
    router.add_get("/metrics", _metrics)
    router.add_get("/healthz", _healthz)
    router.add_get("/readyz", _readyz)
    router.add_static("/static/", STATIC, append_version=False)
    pages.add_routes(app)
    return app


async def _metrics(request: web.Request) -> web.Response:
    site = request.app[SITE]
    body, content_type = expose(await snapshot(site), site.lags, request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _healthz(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _readyz(request: web.Request) -> web.Response:
    reasons = request.app[SITE].unready()
    return web.Response(
        text="".join(f"{reason}\n" for reason in reasons) or "ready\n",
        status=503 if reasons else 200,
    )


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _guarded(request: web.Request, handler: Answer) -> web.StreamResponse:
    """Every failure gets a page (or, under /api/, a JSON object) and never a traceback."""
    try:
        return await handler(request)
    except BadParameterError as error:
        return await _failure(request, 400, str(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        return await _failure(request, error.status, error.reason)
    except (StoreUnavailableError, SQLAlchemyError, OSError) as error:
        log.warning("the store cannot be read: %s", str(error).splitlines()[0][:200])
        return await _failure(request, 503, "The store cannot be read at the moment.")


async def _failure(request: web.Request, status: int, reason: str) -> web.StreamResponse:
    if request.path.startswith("/api/"):
        return web.json_response({"error": reason}, status=status)
    return await pages.failure(request, status, reason)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
