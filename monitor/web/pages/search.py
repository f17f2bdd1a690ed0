# SPDX-License-Identifier: Apache-2.0
"""The search box: service, domain, country, network, event or measurement to its page."""

from __future__ import annotations

import re

from aiohttp import web

from monitor.store.reading.events import list_events
from monitor.store.records import Filter
from monitor.web.render import render
from monitor.web.site import SITE
from monitor.web.text.words import COUNTRIES
from probes.wire.target import Service

MAX_WORD = 100
EVENTS = 50


async def page(request: web.Request) -> web.Response:
    """Redirect to the page of a word, or list what matches it."""
    word = request.query.get("q", "").strip()[:MAX_WORD]
    low = word.lower()
    site = request.app[SITE]
    if re.fullmatch(r"[0-9a-f]{16}", low):
        raise web.HTTPFound(f"/e/{low}")
    if re.fullmatch(r"[0-9a-f]{32}", low):
        raise web.HTTPFound(f"/m/{low}")
    found = [service for service in site.catalogue.services if low and _names(service, low)]
    place = _place(low)
    if len(found) == 1 and place is None:
        raise web.HTTPFound(f"/s/{found[0].id}")
    if place is not None and not found:
        raise web.HTTPFound(f"/c/{place.country}" if place.country else f"/as/{place.asn}")
    events: list[object] = []
    if place is not None:
        async with site.database.reading() as connection:
            events = list(await list_events(connection, place, limit=EVENTS))
    values = {
        "title": "Search",
        "found": found,
        "word": word,
        "place": place,
        "events": events,
        "names": site.service_names,
    }
    return await render(request, "search.html", values)


def _names(service: Service, word: str) -> bool:
    hosts = (endpoint.host for target in service.targets for endpoint in target.endpoints)
    return word in service.id or word in service.name.lower() or any(word in host for host in hosts)


def _place(word: str) -> Filter | None:
    """A country by its code or name, or a network by `AS64501`."""
    if network := re.fullmatch(r"as ?([0-9]{1,10})", word):
        return Filter(asn=int(network[1]))
    bare = word.removeprefix("the ")
    for code, name in COUNTRIES.items():
        if bare and bare in (code.lower(), name.lower().removeprefix("the ")):
            return Filter(country=code)
    return None
