"""One service: in which countries is it blocked, and how sure are we?"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from aiohttp import web

from monitor.detection.model import Event, State, Tier
from monitor.detection.present import Present
from monitor.store import reading
from monitor.store.reading import Filter
from monitor.web import strips, words
from monitor.web.pages.overview import RANK, STRIP_MS, cell
from monitor.web.render import render
from monitor.web.site import SITE
from monitor.web.views import presents


async def page(request: web.Request) -> web.Response:
    """Render a service."""
    site = request.app[SITE]
    service = site.service(request.match_info["service"])
    if service is None:
        raise web.HTTPNotFound(reason="No service of this name is in the catalogue.")
    until = site.clock()
    since = until - STRIP_MS // site.policy.pace
    async with site.engine.connect() as connection:
        events = await reading.events(connection, Filter(service=service.id), limit=100)
        rows = await reading.judged(
            connection, Filter(service=service.id, since=since), limit=20_000
        )
    now = await presents(site, Filter(service=service.id))
    opened = {event.country: event for event in events if event.state == "open"}
    sights: dict[str, list[tuple[int, State]]] = defaultdict(list)
    for row in rows:
        sights[row.country].append((row.round, row.verdict.state))
    places: dict[str, list[Present]] = defaultdict(list)
    for present in now:
        places[present.country].append(present)
    countries: list[dict[str, Any]] = []
    for country in sorted(sights.keys() | places.keys()):
        seen = sights[country]
        speaking = [s for _, s in seen if s not in (State.VANTAGE_OFFLINE, State.INSUFFICIENT)]
        failing = sum(state in (State.BLOCKED, State.IMPAIRED) for state in speaking)
        countries.append(
            {
                "country": country,
                "event": opened.get(country),
                "cell": cell(places[country], opened.get(country)),
                "strip": strips.strip(seen, since, until),
                "failing": failing,
                "measured": len(speaking),
                "networks": sorted({row.asn for row in places[country]}),
            }
        )
    countries.sort(key=lambda row: (row["cell"]["rank"] if row["cell"] else 9, row["country"]))
    values = {
        "title": service.name,
        "service": service,
        "headline": headline(service.name, list(opened.values()), len(countries)),
        "countries": countries,
        "present": now,
        "events": sorted(events, key=lambda e: (e.state != "open", RANK[e.tier], -e.onset)),
        "hours": words.lasted(until - since),
    }
    return await render(request, "service.html", values)


def headline(name: str, opened: list[Event], countries: int) -> str:
    """The answer in one sentence."""
    live = [event for event in opened if event.inhibited_by is None]
    confirmed = [event for event in live if event.tier is Tier.CONFIRMED]
    if confirmed:
        places = ", ".join(sorted(words.country(event.country) for event in confirmed))
        networks = sum(len(event.asns) for event in confirmed)
        return (
            f"{name} is blocked in {words.number(networks)} "
            f"network{'s' if networks != 1 else ''} in {places}."
        )
    if live:
        places = ", ".join(sorted(words.country(event.country) for event in live))
        return f"{name} may be blocked in {places}; that is not confirmed."
    if countries == 0:
        return f"Nothing measured here yet: no vantage has looked at {name}."
    where = words.plural(countries, "country", "countries")
    return f"{name} is not known to be blocked; {where} measured it."
