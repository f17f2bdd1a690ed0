# SPDX-License-Identifier: Apache-2.0
"""One service: in which countries is it blocked, and how sure are we?"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from aiohttp import web

from monitor.detection.model import Event, Tier
from monitor.detection.sequence.present import PresentState
from monitor.store.reading.counts import StateCount, count_states
from monitor.store.reading.events import list_events
from monitor.store.records import Filter
from monitor.web.draw import strips
from monitor.web.draw.matrix import RANK, cell
from monitor.web.render import render
from monitor.web.site import SITE
from monitor.web.text import words
from monitor.web.views import window


async def page(request: web.Request) -> web.Response:
    """Render a service."""
    site = request.app[SITE]
    service = site.service(request.match_info["service"])
    if service is None:
        raise web.HTTPNotFound(reason="No service of this name is in the catalogue.")
    targets = [target.id for target in service.targets]
    async with site.database.reading() as connection:
        events = await list_events(connection, Filter(service=service.id), limit=100)
        opened = {event.country: event for event in events if event.state == "open"}
        chosen = await window(site, connection, service.id)
        rows = await count_states(connection, targets, chosen.since, chosen.until, chosen.width)
    now = (await site.present.get()).states(Filter(service=service.id))
    by_country: dict[str, list[StateCount]] = defaultdict(list)
    for row in rows:
        by_country[row.country].append(row)
    places: dict[str, list[PresentState]] = defaultdict(list)
    for present in now:
        places[present.country].append(present)
    countries: list[dict[str, Any]] = []
    for country in sorted(by_country.keys() | places.keys()):
        drawn = strips.strip(by_country[country], chosen, site.interval_seconds * 1000)
        networks = {row.asn for row in places[country]}
        networks |= {row.asn for row in by_country[country]}
        countries.append(
            {
                "country": country,
                "event": opened.get(country),
                "cell": cell({row.state for row in places[country]}, opened.get(country)),
                "strip": drawn,
                "networks": sorted(networks),
            }
        )
    countries.sort(key=lambda row: (row["cell"]["rank"] if row["cell"] else 9, row["country"]))
    values = {
        "title": service.name,
        "service": service,
        "headline": headline(service.name, list(opened.values()), len(countries)),
        "countries": countries,
        "present": [(row, state_mark(row, opened.get(row.country))) for row in now],
        "events": sorted(events, key=lambda e: (e.state != "open", RANK[e.tier], -e.onset)),
        "window": chosen,
    }
    return await render(request, "service.html", values)


def state_mark(row: PresentState, event: Event | None) -> tuple[str, str]:
    """(kind of mark, word) of a target in a network: from the event that covers it, else from its
    rounds, which call nothing blocked."""
    if (
        row.state in words.UNCONFIRMED
        and event is not None
        and event.stands
        and row.asn in event.asns
        and row.target in event.targets
    ):
        return words.TIER_KINDS[event.tier], words.TIERS[event.tier]
    return words.state_mark(row.state)


def headline(name: str, opened: list[Event], countries: int) -> str:
    """The answer in one sentence."""
    live = [event for event in opened if event.stands]
    confirmed = [event for event in live if event.tier is Tier.CONFIRMED]
    if confirmed:
        places = ", ".join(sorted(words.country(event.country) for event in confirmed))
        networks = sum(len(event.asns) for event in confirmed)
        part = "A part of " if all(event.extent == "partial" for event in confirmed) else ""
        return f"{part}{name} is blocked in {words.counted(networks, 'network')} in {places}."
    if live:
        places = ", ".join(sorted(words.country(event.country) for event in live))
        return f"{name} may be blocked in {places}; that is not confirmed."
    if countries == 0:
        return f"Nothing measured here yet: no vantage has looked at {name}."
    where = words.plural(countries, "country", "countries")
    return f"{name} is not known to be blocked; {where} measured it."
