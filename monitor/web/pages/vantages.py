# SPDX-License-Identifier: Apache-2.0
"""The list of vantages, and one vantage: status, liveness, clock, software. Pseudonyms only,
never an address.
"""

from __future__ import annotations

from itertools import groupby

from aiohttp import web

from monitor.store.reading.measurements import list_measurements_of_probe
from monitor.store.reading.vantages import (
    VantageRow,
    liveness_lines,
    liveness_of_probe,
    numbers_and_status,
)
from monitor.text import event_sources, words
from monitor.text.language import _, n_
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
    ways_in_use,
)
from monitor.web.moment import present_of, site_of
from monitor.web.render import render
from monitor.web.site import Site

PAGE_ROWS = 50
"""Vantages a page of the list."""
LIST_ROUNDS = 4
"""Liveness rounds counted in the list; each of a vantage is a batch to unpack."""
PAGE_ROUNDS = 288
"""Liveness rounds shown on the page of one vantage."""
MAX_MEASUREMENTS = 60
"""Measurements shown on the page of one vantage."""


async def listing(request: web.Request) -> web.Response:
    """Render all vantages, those who have left last."""
    site = site_of(request)
    probes = sorted(
        fleet(site, await present_of(request)),
        key=lambda each: (
            each[1] == "revoked", each[0].role, each[0].country, each[0].asn, each[0].id
        ),
    )  # fmt: skip
    ids = [probe.id for probe, _status in probes]
    after = request.query.get("after", "")
    first = ids.index(after) + 1 if after in ids else 0
    page = probes[first : first + PAGE_ROWS]
    shown = [probe.id for probe, _status in page]
    async with site.database.reading() as connection:
        lines = await liveness_lines(
            connection, shown, since(site, LIST_ROUNDS), LIST_ROUNDS, site.as_of
        )
    # Of the past it is not kept.
    registered = await site.database.registry.probes(shown) if site.as_of is None else ()
    status_messages = {probe.id: probe.status for probe in registered}
    rows = [
        (probe, status, vantage_health(lines.get(probe.id, ()), status_messages.get(probe.id, b"")))
        for probe, status in page
    ]
    values = {
        "title": _("Vantages"),
        "headline": headline(probes),
        "rows": rows,
        "clock": clock,
        "ways": {} if site.as_of is not None else await ways_in_use(site, probes),
        "following": ids[first + PAGE_ROWS - 1] if len(ids) > first + PAGE_ROWS else None,
    }
    return await render(request, "vantages.html", values)


async def page(request: web.Request) -> web.Response:
    """Render one vantage."""
    site = site_of(request)
    id = request.match_info["vantage"]
    present = await present_of(request)
    if (known_row := present.vantages_by_id.get(id)) is None:
        raise web.HTTPNotFound(reason="No vantage has this id.")
    ((probe, status),) = fleet(site, present, [known_row])
    async with site.database.reading() as connection:
        numbers, said = await numbers_and_status(connection, id)
        lines = await liveness_of_probe(
            connection, numbers, since(site, PAGE_ROUNDS), PAGE_ROUNDS, site.as_of
        )
        known = vantage_health(lines, said if site.as_of is None else b"")  # of the past: not kept
        begin = since(site, LIST_ROUNDS)
        # Of a large catalogue the newest round fills the list.
        newest = max([begin, *(each.round for each in known.rounds[:1])])
        for first in sorted({newest, begin}, reverse=True):
            measurements = await list_measurements_of_probe(
                connection, id, first, MAX_MEASUREMENTS, site.as_of
            )
            if len(measurements) == MAX_MEASUREMENTS:
                break
    window, strip = liveness(site, known)
    values = {
        "title": _("Vantage %(number)s", number=id),
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
    span = max(rounds * site.interval_ms, site.policy.ms(3600))
    return site.clock() - min(span, strips.longest(site.policy))


def headline(probes: Probes) -> str:
    """How many watch, in one sentence."""
    vantages, controls = active(probes, "vantage"), active(probes, "control")
    if not vantages and not controls:
        return _("No probes have enrolled yet.")
    online = [probe for probe, status in vantages if status == "online"]
    online_controls = sum(status == "online" for _probe, status in controls)
    countries = len({probe.country for probe in online})
    values = {
        "vantages": event_sources.seen(len(online), len(vantages)),
        "controls": words.counted(online_controls, "control"),
    }
    if not online:
        return _("%(vantages)s are online, and %(controls)s.", **values)
    return n_(
        "%(vantages)s are online in %(n)s country, and %(controls)s.",
        "%(vantages)s are online in %(n)s countries, and %(controls)s.",
        countries,
        **values,
    )


def sentence(site: Site, probe: VantageRow, status: str, known: VantageHealth) -> str:
    """One vantage in one sentence."""
    place = {"network": f"AS{probe.asn}", "country": words.country(probe.country)}
    who = (
        _("This control in %(network)s in %(country)s", **place)
        if probe.role == "control"
        else _("This vantage in %(network)s in %(country)s", **place)
    )
    if status == "revoked":
        return _("%(who)s has left.", who=who)
    if probe.last_seen is None:
        return _("%(who)s has enrolled, but has never connected.", who=who)
    if status == "silent":
        length = words.duration_text(site.clock() - probe.last_seen)
        return _("%(who)s has been silent for %(time)s.", who=who, time=length)
    if status == "degraded":
        if known.offset is not None and abs(known.offset) > MAX_CLOCK_ERROR_MS:
            return _(
                "%(who)s is connected, but its clock is %(clock)s: of little use.",
                who=who,
                clock=clock(known),
            )
        return _("%(who)s is connected, but was offline in all its recent measurements.", who=who)
    if not known.rounds:
        return _("%(who)s is online.", who=who)
    return _(
        "%(who)s is online and was so in %(n)s of its last %(total)s rounds.",
        who=who,
        n=known.online,
        total=len(known.rounds),
    )


def clock(known: VantageHealth) -> str:
    """Its clock, in words; empty where nothing is known."""
    if known.offset is None:
        return ""
    if abs(known.offset) < 1000:
        return _("accurate to the second")
    length = words.duration_text(abs(known.offset))
    return (
        _("%(time)s ahead", time=length) if known.offset > 0 else _("%(time)s behind", time=length)
    )


def liveness(site: Site, known: VantageHealth) -> tuple[strips.Window, strips.Strip]:
    """Its own strip: online or not, round by round."""
    interval = max((each.interval for each in known.rounds), default=0)
    interval = interval or site.interval_ms
    rounds = [each.round for each in known.rounds]
    chosen = strips.window(
        site.clock(),
        min(rounds, default=None),
        max(rounds, default=None),
        site.policy,
        interval,
    )
    return chosen, strips.strip(liveness_counts(known), chosen, interval)
