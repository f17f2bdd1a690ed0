# SPDX-License-Identifier: Apache-2.0
"""The list of vantages, and one vantage: status, liveness, clock, software. Pseudonyms only,
never an address.
"""

from __future__ import annotations

from itertools import groupby

from aiohttp import web

from monitor.store.reading.measurements import list_measurements_of_probe
from monitor.store.reading.vantages import VantageRow, liveness_lines, liveness_of_probe
from monitor.web.draw import strips
from monitor.web.fleet import (
    MAX_CLOCK_ERROR_MS,
    Probes,
    VantageHealth,
    active,
    fleet,
    liveness_counts,
    vantage_health,
    watchlist,
)
from monitor.web.render import render
from monitor.web.site import SITE, Site
from monitor.web.text import words

PAGE_ROWS = 50
"""Vantages a page of the list."""
LIST_ROUNDS = 12
"""Liveness rounds shown in the list."""
PAGE_ROUNDS = 288
"""Liveness rounds shown on the page of one vantage."""
MAX_MEASUREMENTS = 60
"""Measurements shown on the page of one vantage."""


async def listing(request: web.Request) -> web.Response:
    """Render all vantages, those who have left last."""
    site = request.app[SITE]
    probes = sorted(
        fleet(site, await site.present.get()),
        key=lambda each: (
            each[1] == "revoked", each[0].role, each[0].country, each[0].asn, each[0].id
        ),
    )  # fmt: skip
    ids = [probe.id for probe, _ in probes]
    after = request.query.get("after", "")
    first = ids.index(after) + 1 if after in ids else 0
    page = probes[first : first + PAGE_ROWS]
    async with site.database.reading() as connection:
        lines = await liveness_lines(
            connection, [probe.id for probe, _ in page], since(site, LIST_ROUNDS), LIST_ROUNDS
        )
    status_messages = {probe.id: probe.status for probe in await site.database.registry.probes()}
    rows = [
        (probe, status, vantage_health(lines.get(probe.id, ()), status_messages.get(probe.id, b"")))
        for probe, status in page
    ]
    values = {
        "title": "Vantages",
        "headline": headline(probes),
        "rows": rows,
        "clock": clock,
        "following": ids[first + PAGE_ROWS - 1] if len(ids) > first + PAGE_ROWS else None,
    }
    return await render(request, "vantages.html", values)


async def page(request: web.Request) -> web.Response:
    """Render one vantage."""
    site = request.app[SITE]
    id = request.match_info["vantage"]
    present = await site.present.get()
    found = next((each for each in fleet(site, present) if each[0].id == id), None)
    if found is None:
        raise web.HTTPNotFound(reason="No vantage has this id.")
    probe, status = found
    async with site.database.reading() as connection:
        lines = await liveness_of_probe(connection, id, since(site, PAGE_ROUNDS), PAGE_ROUNDS)
        measurements = await list_measurements_of_probe(
            connection, id, since(site, LIST_ROUNDS), MAX_MEASUREMENTS
        )
    registered = await site.database.registry.probe(id)
    known = vantage_health(lines, registered.status if registered else b"")
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
        "watch": watchlist(present.opened).get(id, ()),
        "measurements": [
            (
                round,
                [(one, words.measurement_mark(one.state)) for one in rows],
            )
            for round, rows in groupby(measurements, key=lambda one: one.round)
        ],
    }
    return await render(request, "vantage.html", values)


def since(site: Site, rounds: int) -> int:
    """The first round (Unix ms) of the last `rounds` rounds, at least an hour back, and no more
    than a strip shows."""
    span = max(rounds * site.interval_seconds * 1000, site.policy.ms(3600))
    return site.clock() - min(span, strips.longest(site.policy))


def headline(probes: Probes) -> str:
    """How many watch, in one sentence."""
    vantages, controls = active(probes, "vantage"), active(probes, "control")
    if not vantages and not controls:
        return "No probes have enrolled yet."
    online = [probe for probe, status in vantages if status == "online"]
    online_controls = sum(status == "online" for _, status in controls)
    countries = len({probe.country for probe in online})
    where = f" in {words.plural(countries, 'country', 'countries')}" if online else ""
    return (
        f"{len(online)} of {words.plural(len(vantages), 'vantage')} "
        f"{'is' if len(online) == 1 else 'are'} online{where}, "
        f"and {words.counted(online_controls, 'control')}."
    )


def sentence(site: Site, probe: VantageRow, status: str, known: VantageHealth) -> str:
    """One vantage in one sentence."""
    where = f"in AS{probe.asn} in {words.country(probe.country)}"
    who = f"This {probe.role} {where}"
    if status == "revoked":
        return f"{who} has left."
    if probe.last_seen is None:
        return f"{who} has enrolled, but has never connected."
    if status == "silent":
        return f"{who} has been silent for {words.duration_text(site.clock() - probe.last_seen)}."
    if status == "degraded":
        if known.offset is not None and abs(known.offset) > MAX_CLOCK_ERROR_MS:
            return f"{who} is connected, but its clock is {clock(known)}: of little use."
        return f"{who} is connected, but was offline in all its recent measurements."
    if not known.rounds:
        return f"{who} is online."
    return f"{who} is online and was so in {known.online} of its last {len(known.rounds)} rounds."


def clock(known: VantageHealth) -> str:
    """Its clock, in words; empty where nothing is known."""
    if known.offset is None:
        return ""
    if abs(known.offset) < 1000:
        return "right to the second"
    way = "ahead" if known.offset > 0 else "behind"
    return f"{words.duration_text(abs(known.offset))} {way}"


def liveness(site: Site, known: VantageHealth) -> tuple[strips.Window, strips.Strip]:
    """Its own strip: online or not, round by round."""
    interval = max((each.interval for each in known.rounds), default=0)
    interval = interval or site.interval_seconds * 1000
    rounds = [each.round for each in known.rounds]
    chosen = strips.window(
        site.clock(),
        min(rounds, default=None),
        max(rounds, default=None),
        site.policy,
        interval,
    )
    return chosen, strips.strip(liveness_counts(known), chosen, interval)
