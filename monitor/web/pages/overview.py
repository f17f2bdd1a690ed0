"""The first page: what is blocked now, where, how sure, since when. And the search box."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiohttp import web

from monitor.detection.model import Event, State, Tier
from monitor.detection.present import Present
from monitor.store import reading
from monitor.store.reading import Filter, VantageRow
from monitor.web import strips, words
from monitor.web.render import render
from monitor.web.site import SITE, Site
from monitor.web.views import presents, vantage_status

RANK = {Tier.CONFIRMED: 0, Tier.LIKELY: 1, Tier.UNCONFIRMED: 2}
CHANGES = 8
STRIP_MS = 48 * 3_600_000


async def page(request: web.Request) -> web.Response:
    """Render the overview."""
    site = request.app[SITE]
    async with site.engine.connect() as connection:
        opened = await reading.events(connection, state="open", limit=500)
        latest = await reading.events(connection, limit=100)
        probes = await reading.vantages(connection)
        last = await reading.last_received(connection)
    rows = await presents(site, Filter())
    living = [probe for probe in probes if probe.revoked is None]
    online = [p for p in living if vantage_status(site, None, p.last_seen) == "online"]
    vantages = [probe for probe in online if probe.role == "vantage"]
    controls = [probe for probe in online if probe.role == "control"]
    shown = sorted(opened, key=lambda e: (RANK[e.tier], e.inhibited_by is not None, e.onset))
    confirmed = [e for e in shown if e.tier is Tier.CONFIRMED and e.inhibited_by is None]
    names = list(dict.fromkeys(name_of(site, event.service) for event in confirmed))
    ended = [event for event in latest if event.state != "open"]
    values = {
        "title": "Overview",
        "headline": words.overview(
            confirmed,
            names,
            len(vantages),
            len({probe.country for probe in vantages}),
            words.lasted(site.clock() - last) if last else "",
        )
        if last
        else "Nothing has been measured yet.",
        "events": [(event, await strip(site, event)) for event in shown],
        "changes": sorted(ended, key=lambda e: -e.updated)[:CHANGES],
        "matrix": matrix(site, rows, opened),
        "coverage": coverage(site, living),
        "missing": missing(vantages, controls, last is not None),
        "names": {service.id: service.name for service in site.catalogue.services},
    }
    return await render(request, "overview.html", values)


def name_of(site: Site, service: str) -> str:
    """What people call a service."""
    found = site.service(service)
    return found.name if found else service


async def strip(site: Site, event: Event) -> strips.Strip:
    """The last 48 hours (at the policy's pace) of an event's service in its country."""
    until = site.clock()
    since = until - STRIP_MS // site.policy.pace
    async with site.engine.connect() as connection:
        rows = await reading.judged(
            connection,
            Filter(service=event.service, country=event.country, since=since),
            limit=4000,
        )
    chosen = [row for row in rows if row.asn in event.asns and row.target in event.targets]
    return strips.strip([(row.round, row.verdict.state) for row in chosen], since, until)


def matrix(
    site: Site, rows: Sequence[Present], opened: Sequence[Event]
) -> tuple[list[str], list[tuple[str, str, list[dict[str, Any] | None]]]]:
    """Countries across, services down; what is blocked comes first."""
    countries = sorted({row.country for row in rows})
    events = {(event.service, event.country): event for event in opened}
    by_place: dict[tuple[str, str], list[Present]] = defaultdict(list)
    for row in rows:
        by_place[row.target.partition("/")[0], row.country].append(row)
    listed = []
    for service in site.catalogue.services:
        cells = [
            cell(by_place[service.id, country], events.get((service.id, country)))
            for country in countries
        ]
        worst = min((entry["rank"] for entry in cells if entry), default=9)
        listed.append((worst, service.id, service.name, cells))
    listed.sort(key=lambda entry: (entry[0], entry[2].lower()))
    seen = [entry for entry in listed if any(entry[3])]
    return countries, [(id, name, cells) for _, id, name, cells in seen]


def cell(rows: Sequence[Present], event: Event | None) -> dict[str, Any] | None:
    """One place of the matrix: an event's tier if one is open, else the commonest state."""
    if not rows:
        return None
    if event is not None and event.inhibited_by is None:
        kinds = {Tier.CONFIRMED: "blocked", Tier.LIKELY: "likely", Tier.UNCONFIRMED: "single"}
        kind = kinds[event.tier]
        if event.extent == "partial" and event.tier is Tier.CONFIRMED:
            kind = "impaired"
        return {
            "kind": kind,
            "word": words.TIERS[event.tier],
            "rank": RANK[event.tier],
            "event": event.id,
        }
    order = (State.OK, State.DOWN, State.INCONCLUSIVE, State.VANTAGE_OFFLINE, State.INSUFFICIENT)
    states = [row.state for row in rows]
    # Without an event nothing is called blocked, whatever single rounds say.
    known = [state for state in order if state in states]
    state = max(known, key=states.count) if known else State.INCONCLUSIVE
    return {"kind": str(state), "word": words.STATES[state], "rank": 5, "event": None}


def coverage(site: Site, living: Sequence[VantageRow]) -> list[dict[str, Any]]:
    """Vantages by country, those online first counted."""
    places: dict[str, list[VantageRow]] = defaultdict(list)
    for probe in living:
        if probe.role == "vantage":
            places[probe.country].append(probe)
    return [
        {
            "country": country,
            "online": sum(vantage_status(site, None, p.last_seen) == "online" for p in members),
            "total": len(members),
            "networks": len({member.asn for member in members}),
            "owners": len({member.owner for member in members}),
        }
        for country, members in sorted(places.items())
    ]


def missing(
    vantages: Sequence[VantageRow], controls: Sequence[VantageRow], measured: bool
) -> list[tuple[str, str]]:
    """What stands between these data and a verdict: (sentence, command that mends it)."""
    said: list[tuple[str, str]] = []
    if not vantages:
        said.append(
            (
                "No vantage is online: nobody is measuring. Make a token and give it to a "
                "volunteer, or use it yourself.",
                "reachwatch token new --role vantage --owner NAME",
            )
        )
    if not controls:
        said.append(
            (
                ("One vantage, no control" if len(vantages) == 1 else "No control is online")
                + ": nothing can be called blocked yet, because nothing shows that the services "
                "themselves are up. Run a control on a machine in an uncensored network.",
                "reachwatch token new --role control --owner NAME",
            )
        )
    thin = len(vantages) == 1 or (
        len(vantages) > 1 and len({probe.owner for probe in vantages}) == 1
    )
    if thin and measured:
        said.append(
            (
                "One vantage, or several of one owner, can never confirm a block: two vantages "
                "of two owners in the same network can.",
                "reachwatch token new --role vantage --owner SOMEBODY-ELSE",
            )
        )
    unknown = [probe for probe in vantages if probe.country == "ZZ" or probe.asn == 0]
    if unknown:
        said.append(
            (
                f"{words.plural(len(unknown), 'vantage')} did not say where they are and have no "
                "vote. Start them with their country and network.",
                "reachprobe run --country CC --asn N",
            )
        )
    return said


async def search(request: web.Request) -> web.Response:
    """Lead to the page that a word names: service, event, measurement."""
    word = request.query.get("q", "").strip().lower()
    site = request.app[SITE]
    if re.fullmatch(r"[0-9a-f]{16}", word):
        raise web.HTTPFound(f"/e/{word}")
    if re.fullmatch(r"[0-9a-f]{32}", word):
        raise web.HTTPFound(f"/m/{word}")
    found = [
        service
        for service in site.catalogue.services
        if word
        and (
            word in service.id
            or word in service.name.lower()
            or any(word in e.host for t in service.targets for e in t.endpoints)
        )
    ]
    if len(found) == 1:
        raise web.HTTPFound(f"/s/{found[0].id}")
    return await render(request, "search.html", {"title": "Search", "found": found, "word": word})
