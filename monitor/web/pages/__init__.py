# SPDX-License-Identifier: Apache-2.0
"""The pages: each module makes one, from the store, and renders it by its template."""

from __future__ import annotations

import asyncio

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
from monitor.web.render import render
from monitor.web.site import SITE


def add_routes(app: web.Application) -> None:
    """Add every page. Addresses are permalinks and are never changed."""
    app.router.add_get("/", overview.page)
    app.router.add_get("/s", indexes.services)
    app.router.add_get("/s/{service:[a-z0-9-]{1,40}}", service.page)
    app.router.add_get("/c", indexes.countries)
    app.router.add_get("/c/{country:[A-Za-z]{2}}", places.country)
    app.router.add_get("/as/{asn:[0-9]{1,10}}", places.network)
    app.router.add_get("/v", vantages.listing)
    app.router.add_get("/v/{vantage:p-[0-9a-f]{16}}", vantages.page)
    app.router.add_get("/e/{id:[0-9a-f]{16}}", event.page)
    app.router.add_post("/e/{id:[0-9a-f]{16}}/notes", notes.from_form)
    app.router.add_post("/api/v1/events/{id:[0-9a-f]{16}}/notes", notes.from_api)
    app.router.add_get("/e/{id:[0-9a-f]{16}}/rounds", event.rounds_page)
    kinds = "|".join(event_measurements.KINDS)
    app.router.add_get(
        f"/e/{{id:[0-9a-f]{{16}}}}/measurements.{{kind:{kinds}}}", event_measurements.file
    )
    app.router.add_get("/m/{id:[0-9a-f]{32}}", measurement.page)
    app[live.STREAMS] = set()
    app[live.ENDING] = asyncio.Event()
    app.on_shutdown.append(live.end_streams)
    app.router.add_get("/live", live.page)
    app.router.add_get("/live/stream", live.stream)
    app.router.add_get("/compare", compare.compare)
    app.router.add_get("/explore", compare.explore)
    app.router.add_get("/m", measurement.listing)
    app.router.add_get("/changes", changes.page)
    app.router.add_get("/feed.atom", changes.feed)
    app.router.add_get("/s/{service:[a-z0-9-]{1,40}}/feed.atom", changes.feed)
    app.router.add_get("/c/{country:[A-Za-z]{2}}/feed.atom", changes.feed)
    app.router.add_get("/badge/{service:[a-z0-9-]{1,40}}.svg", badges.badge)
    app.router.add_get("/badge/{service:[a-z0-9-]{1,40}}/{country:[A-Za-z]{2}}.svg", badges.badge)
    app.router.add_get("/picture.svg", picture.svg)
    app.router.add_get("/history.json", history.as_json)
    app.router.add_get("/history.csv", history.as_csv)
    app.router.add_get("/search", search.page)
    downloads.add_routes(app.router)
    app.router.add_get("/runbooks/", runbook.page)
    app.router.add_get("/runbooks/{name:[A-Za-z]{1,60}}.md", runbook.page)
    app.router.add_get("/status", status.page)
    app.router.add_get("/status.json", status.as_json)
    app.router.add_get("/method", method.page)
    app.router.add_get("/method.json", method.as_json)
    app.router.add_get("/method.csv", method.as_csv)


async def failure(request: web.Request, status: int, reason: str) -> web.Response:
    """A sentence in place of a page."""
    return await render(
        request, "failure.html", {"status": status, "reason": _(reason), "title": _(reason)}, status
    )


__all__ = ["SITE", "add_routes", "failure"]
