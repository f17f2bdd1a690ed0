# SPDX-License-Identifier: Apache-2.0
"""Who measures, and can they be relied on? The list of vantages, and one of them. Names of
people's choosing and a pseudonym, never an address.
"""

from __future__ import annotations

from itertools import groupby

from aiohttp import web

from monitor.detection.model import State
from monitor.store.reading.events import list_events
from monitor.store.reading.measurements import ProbeMeasurement, list_measurements_of_probe
from monitor.store.reading.vantages import VantageRow, liveness_lines
from monitor.store.records import Filter
from monitor.web import vantage_health
from monitor.web.draw import strips
from monitor.web.render import render
from monitor.web.site import SITE, Site
from monitor.web.text import words
from monitor.web.vantage_health import Condition
from monitor.web.views import CLOCK_MS, fleet
from monitor.web.watchlist import watchlist

ROWS = 200
"""Vantages a page."""
ROUNDS = 12
"""Rounds of liveness that the list looks back on."""
HISTORY = 288
"""Rounds of liveness that the page of one vantage looks back on."""
TAKEN = 60
"""Measurements of its last rounds that it shows."""
OPEN = 500
"""Open events of its country that are asked whether it is on watch."""


async def listing(request: web.Request) -> web.Response:
    """Render all vantages, those who have left last."""
    site = request.app[SITE]
    async with site.database.reading() as connection:
        probes = sorted(
            await fleet(site, connection),
            key=lambda each: (
                each[1] == "revoked", each[0].role, each[0].country, each[0].asn, each[0].id
            ),
        )  # fmt: skip
        ids = [probe.id for probe, _ in probes]
        after = request.query.get("after", "")
        first = ids.index(after) + 1 if after in ids else 0
        page = probes[first : first + ROWS]
        lines = await liveness_lines(
            connection, [probe.id for probe, _ in page], since(site, ROUNDS), ROUNDS
        )
    said = {probe.id: probe.status for probe in await site.database.registry.probes()}
    rows = [
        (probe, status, vantage_health.condition(lines.get(probe.id, ()), said.get(probe.id, b"")))
        for probe, status in page
    ]
    values = {
        "title": "Vantages",
        "headline": headline([(probe, status) for probe, status in probes]),
        "rows": rows,
        "clock": clock,
        "following": ids[first + ROWS - 1] if len(ids) > first + ROWS else None,
    }
    return await render(request, "vantages.html", values)


async def page(request: web.Request) -> web.Response:
    """Render one vantage."""
    site = request.app[SITE]
    id = request.match_info["vantage"]
    async with site.database.reading() as connection:
        probes = await fleet(site, connection)
        found = next((each for each in probes if each[0].id == id), None)
        if found is None:
            raise web.HTTPNotFound(reason="No vantage has this id.")
        probe, status = found
        lines = await liveness_lines(connection, [id], since(site, HISTORY), HISTORY)
        taken = await list_measurements_of_probe(connection, id, since(site, ROUNDS), TAKEN)
        here = Filter(country=probe.country)
        opened = await list_events(connection, here, state="open", limit=OPEN)
    registered = await site.database.registry.probe(id)
    known = vantage_health.condition(lines.get(id, ()), registered.status if registered else b"")
    window, strip = liveness(site, known)
    values = {
        "title": f"Vantage {id}",
        "headline": sentence(site, probe, status, known),
        "probe": probe,
        "status": status,
        "known": known,
        "clock": clock(known),
        "window": window,
        "strip": strip,
        "watch": watchlist(opened).get(id, ()),
        "taken": [
            (round, [(one, said(one)) for one in rows])
            for round, rows in groupby(taken, key=lambda one: one.round)
        ],
    }
    return await render(request, "vantage.html", values)


def since(site: Site, rounds: int) -> int:
    """Rounds from here on (Unix ms) are looked at."""
    return site.clock() - max(rounds * site.interval_seconds * 1000, site.policy.ms(3600))


def headline(probes: list[tuple[VantageRow, str]]) -> str:
    """How many watch, in one sentence."""
    living = [(probe, status) for probe, status in probes if status != "revoked"]
    vantages = [(probe, status) for probe, status in living if probe.role == "vantage"]
    if not living:
        return "Nobody has enrolled yet: no vantage stands anywhere."
    online = [probe for probe, status in vantages if status == "online"]
    controls = sum(status == "online" for probe, status in living if probe.role == "control")
    countries = len({probe.country for probe in online})
    where = f" in {words.plural(countries, 'country', 'countries')}" if online else ""
    return (
        f"{len(online)} of {words.plural(len(vantages), 'vantage')} "
        f"{'is' if len(online) == 1 else 'are'} online{where}, "
        f"and {words.number(controls)} control{'s' if controls != 1 else ''}."
    )


def sentence(site: Site, probe: VantageRow, status: str, known: Condition) -> str:
    """One vantage in one sentence."""
    where = f"in AS{probe.asn} in {words.country(probe.country)}"
    who = f"This {probe.role} {where}"
    if status == "revoked":
        return f"{who} has left and is heard no more."
    if probe.last_seen is None:
        return f"{who} has enrolled and was never heard."
    if status == "silent":
        return f"{who} has been silent for {words.lasted(site.clock() - probe.last_seen)}."
    if status == "degraded":
        if known.offset is not None and abs(known.offset) > CLOCK_MS:
            return f"{who} is heard, but its clock is {clock(known)}: it is of little use."
        return f"{who} is heard, but was offline in all that it measured lately."
    if not known.rounds:
        return f"{who} is online."
    return f"{who} is online and was so in {known.online} of its last {len(known.rounds)} rounds."


def clock(known: Condition) -> str:
    """Its clock, in words; empty where nothing is known."""
    if known.offset is None:
        return ""
    if abs(known.offset) < 1000:
        return "right to the second"
    way = "ahead" if known.offset > 0 else "behind"
    return f"{words.lasted(abs(known.offset))} {way}"


def liveness(site: Site, known: Condition) -> tuple[strips.Window, strips.Strip]:
    """Its own strip: online or not, round by round."""
    interval = max((lived.interval for lived in known.rounds), default=0)
    interval = interval or site.interval_seconds * 1000
    rounds = [lived.round for lived in known.rounds]
    chosen = strips.window(
        site.clock(),
        min(rounds, default=None),
        max(rounds, default=None),
        site.policy,
        interval,
    )
    seen = [strips.Sight(round, state) for round, state in vantage_health.sights(known)]
    return chosen, strips.strip(seen, chosen, interval)


def said(one: ProbeMeasurement) -> tuple[str, str] | None:
    """(kind, word) of a measurement; None where nobody judges it. It alone never calls
    anything blocked."""
    if one.state is None:
        return None
    state = State(one.state)
    if state in words.SEEN:
        return "inconclusive", words.SEEN[state].partition(",")[0]
    return str(state), words.STATES[state]
