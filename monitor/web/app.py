# SPDX-License-Identifier: Apache-2.0
"""The web application: routes, error responses, compression and headers."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from aiohttp import web
from isal import igzip

from monitor.http_server import LASTING, SLOW_BODIES
from monitor.interop.licences import link_header
from monitor.metrics.exposition import expose
from monitor.store.reading.progress import ingest_counters
from monitor.store.records import StoreUnavailableError
from monitor.text.language import SOURCE, chosen_language, use
from monitor.text.words import REFUSALS
from monitor.web import assets, mqtt_stream, pages
from monitor.web.answers import PUBLIC
from monitor.web.api import delivery, openapi
from monitor.web.api import endpoints as api
from monitor.web.moment import name_moment, one_moment, reading
from monitor.web.page_processes import RETRY_AFTER_SECONDS, ProcessEndedError
from monitor.web.params import BadParameterError
from monitor.web.queued import BEHIND
from monitor.web.response_cache import CACHE, ResponseCache, is_public
from monitor.web.site import SITE, Site
from monitor.web.views import snapshot
from probes.wire import https_delivery

log = logging.getLogger(__name__)
SMALL_BYTES, LARGE_BYTES = 1 << 10, 256 << 10
LEVEL = 1
"""Of ISA-L, which takes an eighth of the time that gzip takes at level 5 and makes a page a fifth
larger, less than 2 kB of 8."""
READY_SECONDS = 5.0
"""Time limit of `/readyz` for the store; Kubernetes and compose ask about every ten seconds."""
MAX_BODY_BYTES = 16 << 10
"""Enrolment and notes have a body, and it is small. Batches have a limit of their own."""
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}

EXPORTS = ("/api/v1/", "/history.", "/picture.svg", "/feed.atom", "/method.", "/status.json")
"""Beginnings of the addresses of exported data; each answer names its licence."""

CALLERS_OWN = "/api/v1/whoami"
"""Tells the address of whoever asks, so no page of another site may read it."""


def make_app(site: Site, *, keep: bool = True) -> web.Application:
    """Return the application that serves one site. Without `keep` it stands behind the web server
    that keeps answers, and each request gets an answer of its own."""
    app = web.Application(middlewares=[_middleware], client_max_size=MAX_BODY_BYTES)
    app[SITE] = site
    app[BEHIND] = not keep
    app[SLOW_BODIES] = {https_delivery.BATCHES: delivery.BODY_SECONDS}
    app[delivery.BODIES] = delivery.Bodies()
    app[LASTING] = frozenset({mqtt_stream.PATH})
    app[mqtt_stream.STREAMS] = streams = mqtt_stream.Streams()
    app.on_shutdown.append(streams.close)
    seconds = site.cache_seconds if keep else 0.0
    app[CACHE] = ResponseCache(seconds, site.present.revision, site.background)
    app.on_response_prepare.append(_add_headers)
    router = app.router
    for name, endpoint in api.LISTS:
        known = openapi.parameters_of(name)
        router.add_get(f"/api/v1/{name}", api.checked(endpoint, known))
    for path, endpoint in (
        ("events/{id:[0-9a-f]{16}}", api.one_event),
        ("measurements/{id:[0-9a-f]{32}}", api.one_measurement),
        ("whoami", api.whoami),
        ("chain", api.chain),
        ("openapi.json", openapi.document),
    ):
        router.add_get(f"/api/v1/{path}", api.checked(endpoint, openapi.parameters_of_one(path)))
    router.add_get("/m/{id:[0-9a-f]{32}}/proof", api.proof)
    router.add_post("/api/v1/enrol", api.enrol_probe)
    router.add_post("/api/v1/key", api.renew_key)
    router.add_post("/api/v1/leave", api.leave)
    router.add_post(https_delivery.BATCHES, delivery.batches)
    router.add_post(https_delivery.POLL, delivery.poll)
    router.add_get(mqtt_stream.PATH, mqtt_stream.connect)
    router.add_get("/metrics", _metrics)
    router.add_get("/healthz", _healthz)
    router.add_get("/readyz", _readyz)
    router.add_get("/static/{name:[a-zA-Z0-9.-]{1,60}}", assets.serve)
    pages.add_routes(app)
    return app


async def _metrics(request: web.Request) -> web.Response:
    site = request.app[SITE]
    async with reading(request) as (connection, present):
        scraped = await snapshot(site, connection, present)
    body, content_type = expose(scraped, site.lags, request.headers.get("Accept", ""))
    return web.Response(body=body, headers={"Content-Type": content_type})


async def _healthz(request: web.Request) -> web.Response:
    backlog = request.app[SITE].backlog
    lines = ("ok", *(() if backlog is None else backlog().lines()))
    return web.Response(text="".join(f"{line}\n" for line in lines))


async def _readyz(request: web.Request) -> web.Response:
    site = request.app[SITE]
    reasons = [*site.unready(), *await _store_errors(site)]
    return web.Response(
        text="".join(f"{reason}\n" for reason in reasons) or "ready\n",
        status=503 if reasons else 200,
    )


async def _store_errors(site: Site) -> tuple[str, ...]:
    """Why the store cannot be read, if it cannot. A `serve` process finds out only by reading."""
    try:
        async with asyncio.timeout(READY_SECONDS), site.database.reading() as connection:
            await ingest_counters(connection)
        await site.present.get()  # the first visitor does not wait for it
    except TimeoutError:
        return (f"store: no answer within {READY_SECONDS:g} s",)
    except (StoreUnavailableError, OSError):
        return ("store: it cannot be read",)
    return ()


async def _compressed(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """The response, gzipped when it is large enough and the client accepts that."""
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return response
    body = response.body
    if len(body) < SMALL_BYTES or "Content-Encoding" in response.headers:
        return response
    vary = response.headers.get("Vary")
    response.headers["Vary"] = f"{vary}, Accept-Encoding" if vary else "Accept-Encoding"
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        # Compressing a large list would block the event loop.
        response.body = (
            igzip.compress(body, LEVEL, mtime=0)
            if len(body) < LARGE_BYTES
            else await asyncio.to_thread(igzip.compress, body, LEVEL, mtime=0)
        )
        response.headers["Content-Encoding"] = "gzip"
    return response


COOKIE = "lang"
"""Remembers the language that a visitor chose; nothing else is kept in it."""
COOKIE_SECONDS = 365 * 86_400
MACHINE = ("/api/", "/metrics", "/healthz", "/readyz", "/static/", "/live/", "/badge/")
"""Addresses that answer programs: always in English."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@web.middleware
async def _middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Failures become a page (under /api/ a JSON object), never a traceback."""

    language = _language(request)

    async def respond() -> web.StreamResponse:
        use(language)
        processes = request.app[SITE].processes
        if processes is not None and processes.covers(request):
            try:
                if (made := await processes.answer(request)) is not None:
                    return made
            except ProcessEndedError:
                return await _interrupted(request)
        response = await _respond(request, handler)
        name_moment(request, response)
        if response.content_type == "text/html":
            own = response.headers.get("Vary")
            response.headers["Vary"] = ", ".join(filter(None, (own, "Accept-Language, Cookie")))
            if request.query.get("lang") == language:
                response.set_cookie(
                    COOKIE, language, max_age=COOKIE_SECONDS, httponly=True, samesite="Lax"
                )
        return await _compressed(request, response)

    cache = request.app[CACHE]
    return await (cache.answer(request, respond, language) if cache.covers(request) else respond())


def _language(request: web.Request) -> str:
    """The language of an answer. Programs get English unless their address says otherwise."""
    wanted = request.query.get("lang", "")
    last = request.path.rpartition("/")[2]
    if request.path.startswith(MACHINE):
        return SOURCE
    if "." in last and not request.path.startswith("/runbooks/"):  # a feed, a picture, a table
        return chosen_language(wanted, "", "")
    return chosen_language(
        wanted, request.cookies.get(COOKIE, ""), request.headers.get("Accept-Language", "")
    )


async def _respond(request: web.Request, handler: Handler) -> web.StreamResponse:
    moment = one_moment if is_public(request) else contextlib.nullcontext
    try:
        async with moment(request):
            return await handler(request)
    except BadParameterError as error:
        return await _failure(request, 400, str(error))
    except web.HTTPException as error:
        if error.status < 400:
            raise
        reason = REFUSALS["no_page"] if error.reason == "Not Found" else error.reason
        failed = await _failure(request, error.status, reason)
        for name in ("Allow", "Retry-After", "WWW-Authenticate"):
            if name in error.headers:
                failed.headers[name] = error.headers[name]
        return failed
    except (StoreUnavailableError, OSError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        log.warning("the store cannot be read: %s", reason[:200])
        return await _failure(request, 503, REFUSALS["unreadable"])


async def _interrupted(request: web.Request) -> web.StreamResponse:
    failed = await _failure(request, 503, REFUSALS["interrupted"])
    failed.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return failed


async def _failure(request: web.Request, status: int, reason: str) -> web.StreamResponse:
    if request.path.startswith("/api/"):
        return web.json_response({"error": reason}, status=status)
    return await pages.failure(request, status, reason)


async def _add_headers(request: web.Request, response: web.StreamResponse) -> None:
    if response.status == 101:
        return  # a browser reads none of them, and a narrow path carries little
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)
    if request.path.startswith(EXPORTS):
        sources = request.app[SITE].present.last_read().sources
        response.headers.setdefault("Link", link_header(sources))
        if request.method in ("GET", "HEAD") and not request.path.startswith(CALLERS_OWN):
            for name, value in PUBLIC.items():  # errors as well: a notebook is to show the reason
                response.headers.setdefault(name, value)
