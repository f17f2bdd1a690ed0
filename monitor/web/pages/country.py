# SPDX-License-Identifier: Apache-2.0
"""One country: what is blocked here, by which network, and was anybody watching?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from monitor.detection.model import Event
from monitor.detection.sequence.present import Present, present
from monitor.store.reading.events import list_events
from monitor.store.reading.measurements import newest_verdicts
from monitor.store.records import Filter
from monitor.web.pages import places as place_page
from monitor.web.pages.overview import cell
from monitor.web.pages.places import Locality
from monitor.web.render import render
from monitor.web.site import SITE, Site
from monitor.web.text import words
from monitor.web.text.words import COUNTRIES
from monitor.web.views import fleet, recent_since

EVENTS = 100
UNKNOWN = "ZZ"
"""Vantages that did not say where they are."""


async def page(request: web.Request) -> web.Response:
    """Render a country."""
    site = request.app[SITE]
    code = request.match_info["country"]
    if code != code.upper():
        raise web.HTTPMovedPermanently(f"/c/{code.upper()}")
    if code not in COUNTRIES and code != UNKNOWN:
        raise web.HTTPNotFound(reason="No country has this code.")
    here = Locality(name=words.country(code), country=code)
    async with site.database.reading() as connection:
        events = await list_events(connection, Filter(country=code), limit=EVENTS)
        sights = await newest_verdicts(connection, recent_since(site))
        probes = await fleet(site, connection, sights)
        window = await place_page.stretch(site, connection)
        opened = [event for event in events if event.state == "open"]
        strips = await place_page.service_strips(site, connection, window, here, opened)
        watched = await place_page.watched(site, connection, window, here)
    rows = [row for row in present(sights) if row.country == code]
    members = place_page.living([(p, status) for p, status in probes if p.country == code])
    names = {service.id: service.name for service in site.catalogue.services}
    headline = (
        "Every vantage says in which country it stands."
        if code == UNKNOWN and not members and not events
        else place_page.headline(here, opened, names, members, bool(rows))
    )
    values = {
        "title": words.sentence(here.name),
        "code": code,
        "headline": headline,
        "matrix": matrix(site, rows, opened),
        "strips": strips,
        "window": window,
        "watched": watched,
        "members": members,
        "events": place_page.sorted_events(events),
        "names": names,
    }
    return await render(request, "country.html", values)


def matrix(
    site: Site, rows: Sequence[Present], opened: Sequence[Event]
) -> tuple[list[int], list[tuple[str, str, list[dict[str, Any] | None]]]]:
    """Networks across, services down; what is blocked comes first."""
    networks = sorted({row.asn for row in rows} | {asn for event in opened for asn in event.asns})
    places: dict[tuple[str, int], list[Present]] = defaultdict(list)
    for row in rows:
        places[row.target.partition("/")[0], row.asn].append(row)
    listed = []
    for service in site.catalogue.services:
        mine = [event for event in opened if event.service == service.id]
        cells = [
            cell(
                places[service.id, asn],
                next((event for event in mine if asn in event.asns), None),
            )
            for asn in networks
        ]
        if any(cells):
            worst = min(entry["rank"] for entry in cells if entry)
            listed.append((worst, service.name.lower(), service.id, service.name, cells))
    return networks, [(id, name, cells) for _, _, id, name, cells in sorted(listed, key=_order)]


def _order(entry: tuple[int, str, str, str, list[dict[str, Any] | None]]) -> tuple[int, str]:
    return entry[:2]
