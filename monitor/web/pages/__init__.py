# SPDX-License-Identifier: Apache-2.0
"""The pages: each module makes one, from the store, and renders it by its template."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Awaitable, Callable, Collection

from aiohttp import web

from monitor.text.language import _
from monitor.web import notes
from monitor.web.pages import (
    badges,
    changes,
    compare,
    downloads,
    event,
    event_measurements,
    explore,
    history,
    indexes,
    live,
    measurement,
    method,
    overview,
    picture,
    places,
    runbook,
    search,
    service,
    status,
    vantages,
)
from monitor.web.params import OF_VERDICT, refuse_unknown
from monitor.web.render import render
from monitor.web.site import SITE

Page = Callable[[web.Request], Awaitable[web.StreamResponse]]
RANGE = ("range", "since", "until")
FILTERS = ("service", "target", "country", "asn", "since", "until")
EVERYWHERE = ("lang", "as_of")
FOREIGN = re.compile("utm_.*|[a-z]*clid|ref|source")
"""Parameters that other sites add to links, which say nothing here."""


def add_routes(app: web.Application) -> None:
    """Add every page. Addresses are permalinks and are never changed."""
    router = app.router

    def add(path: str, page: Page, *known: str, repeated: Collection[str] = ()) -> None:
        router.add_get(path, checked(page, (*EVERYWHERE, *known, *repeated), repeated))

    add("/", overview.page)
    add("/s", indexes.services)
    add("/s/{service:[a-z0-9-]{1,40}}", service.page, *RANGE)
    add("/c", indexes.countries)
    add("/c/{country:[A-Za-z]{2}}", places.country, *RANGE)
    add("/as/{asn:[0-9]{1,10}}", places.network, *RANGE)
    add("/v", vantages.listing, "after")
    add("/v/{vantage:p-[0-9a-f]{16}}", vantages.page)
    add("/e/{id:[0-9a-f]{16}}", event.page, *RANGE)
    router.add_post("/e/{id:[0-9a-f]{16}}/notes", notes.from_form)
    router.add_post("/api/v1/events/{id:[0-9a-f]{16}}/notes", notes.from_api)
    add("/e/{id:[0-9a-f]{16}}/rounds", event.rounds_page)
    kinds = "|".join(event_measurements.KINDS)
    add(f"/e/{{id:[0-9a-f]{{16}}}}/measurements.{{kind:{kinds}}}", event_measurements.file)
    add("/m/{id:[0-9a-f]{32}}", measurement.page)
    app[live.STREAMS] = set()
    app[live.ENDING] = asyncio.Event()
    app.on_shutdown.append(live.end_streams)
    add("/live", live.page)
    router.add_get("/live/stream", live.stream)
    add("/compare", compare.page, *RANGE, repeated=("service", "country"))
    several = ("service", "country", "asn")
    add("/explore", explore.page, *RANGE, "by", "per", "target", repeated=several)
    add("/m", measurement.listing, *FILTERS, *OF_VERDICT, "event", "after")
    add("/changes", changes.page, *FILTERS, "before")
    router.add_get("/feed.atom", changes.feed)
    router.add_get("/s/{service:[a-z0-9-]{1,40}}/feed.atom", changes.feed)
    router.add_get("/c/{country:[A-Za-z]{2}}/feed.atom", changes.feed)
    router.add_get("/badge/{service:[a-z0-9-]{1,40}}.svg", badges.badge)
    router.add_get("/badge/{service:[a-z0-9-]{1,40}}/{country:[A-Za-z]{2}}.svg", badges.badge)
    add("/picture.svg", picture.svg, *FILTERS, "range")
    add("/history.json", history.as_json, *FILTERS, "range")
    add("/history.csv", history.as_csv, *FILTERS, "range")
    add("/search", search.page, "q")
    downloads.add_routes(router)
    add("/runbooks/", runbook.page)
    add("/runbooks/{name:[A-Za-z]{1,60}}.md", runbook.page)
    add("/status", status.page)
    router.add_get("/status.json", status.as_json)
    add("/method", method.page)
    add("/method.json", method.as_json)
    add("/method.csv", method.as_csv)


def checked(page: Page, known: Collection[str], repeated: Collection[str] = ()) -> Page:
    """The page, which refuses parameters that it does not have: with a slip in one of them it
    would answer another question."""

    @functools.wraps(page)
    async def respond(request: web.Request) -> web.StreamResponse:
        foreign = {name for name in request.query if FOREIGN.fullmatch(name)}
        refuse_unknown(request, {*known, *foreign}, repeated)
        return await page(request)

    return respond


async def failure(request: web.Request, status: int, reason: str) -> web.Response:
    """A sentence in place of a page."""
    return await render(
        request, "failure.html", {"status": status, "reason": _(reason), "title": _(reason)}, status
    )


__all__ = ["SITE", "add_routes", "failure"]
