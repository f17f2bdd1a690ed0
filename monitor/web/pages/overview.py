# SPDX-License-Identifier: Apache-2.0
"""The first page: what is blocked now, where, how sure, since when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from aiohttp import web

from monitor.detection.model import Event, EventState, Tier
from monitor.store.reading.vantages import VantageRow
from monitor.store.records import Filter
from monitor.text import event_evidence, event_headlines, event_sources, words
from monitor.text.language import _
from monitor.web.both_sources import beside, one_picture
from monitor.web.draw import worldmap
from monitor.web.draw.matrix import RANK, country_matrix
from monitor.web.fleet import active, fleet, unwatched
from monitor.web.moment import reading, site_of
from monitor.web.pages.lone import lone
from monitor.web.render import render
from monitor.web.views import (
    common_window,
    event_strips,
    known_events,
    last_measurement,
    record,
    services_here,
)

CHANGES = 8
STRIPS = 60
"""Events with a strip."""


async def page(request: web.Request) -> web.Response:
    """Render the overview."""
    site = site_of(request)
    async with reading(request) as (connection, present):
        opened, probes = present.opened, fleet(site, present)
        latest = await known_events(site, connection, Filter())
        last = await last_measurement(site, connection, latest)
        listed, pairs = one_picture(opened)
        shown = sorted(listed, key=lambda e: (RANK[e.tier], not e.stands, e.onset))
        chosen = await common_window(site, connection)
        cited = await record(site, connection, Filter(), "open")
        services = await services_here(site, connection, present)
        strip_of = await event_strips(site, connection, shown[:STRIPS], chosen)
    drawn = [(event, (strip_of[event.id], chosen)) for event in shown[:STRIPS]]
    online = [probe for probe, status in active(probes) if status == "online"]
    vantages = [probe for probe in online if probe.role == "vantage"]
    controls = [probe for probe in online if probe.role == "control"]
    lost = unwatched(site, present, shown)
    names = site.service_names
    past, past_pairs = one_picture(latest)
    ended = [event for event in past if not event.ongoing]
    table = country_matrix(services, present.kinds(), opened, present.reached)
    values = {
        "title": _("What is blocked now"),
        "record": cited,
        "scope": scope(shown, site.clock(), lost),
        "unwatched": lost,
        "headline": event_headlines.overview(
            [event for event in shown if event.stands],
            names,
            len(vantages),
            len({probe.country for probe in vantages}),
            words.duration_text(site.clock() - last) if last else "",
            lost,
        )
        if last
        else _("No measurements yet."),
        "events": drawn + [(event, None) for event in shown[STRIPS:]],
        "beside": {
            **past_pairs,
            **pairs,
            **{event.id: own for event in listed if (own := beside_imported(event, latest))},
        },
        "changes": sorted(ended, key=lambda e: -e.updated)[:CHANGES],
        "matrix": table,
        "world": worldmap.world(
            worldmap.places(*table, active(probes, "vantage"), opened, present.measured_by_others)
        ),
        "coverage": coverage(active(probes)),
        "watching": bool(vantages),
        "missing": missing(
            vantages,
            controls,
            last is not None,
            bool(present.origins),
            any(not event_sources.is_imported(event) for event in opened),
        ),
        "names": names,
        "lone": lone(present.states(), names, site.policy.evidence)
        if len(vantages) == 1 and not controls
        else None,
    }
    return await render(request, "overview.html", values)


def beside_imported(event: Event, known: Sequence[Event]) -> Event | None:
    """Our own event about the same block as an open one of others: it may have ended."""
    return beside(event, known) if event_sources.is_imported(event) else None


def scope(opened: Sequence[Event], now: int, lost: Collection[str] = ()) -> str:
    """The line below the headline: of the only confirmed (else the only likely) event its share of
    vantages, sureness and time; of several, how many there are of each state. `lost` are the
    ids of those that nobody measures now."""
    live = [event for event in opened if event.stands]
    confirmed = [event for event in live if event.tier is Tier.CONFIRMED]
    first = confirmed or [event for event in live if event.tier is Tier.LIKELY]
    if len(first) == 1:
        return event_evidence.scope(first[0], now, watched=first[0].id not in lost)
    clearing = sum(event.state is EventState.CLEARING for event in first)
    counted = [
        (len(confirmed) - (clearing if confirmed else 0), _("confirmed")),
        (clearing, _("clearing")),
        (sum(event.tier is Tier.LIKELY for event in live), _("likely")),
        (sum(event.tier is Tier.UNCONFIRMED for event in live), _("not confirmed")),
    ]
    if not first:
        return ""
    return ", ".join(_("%(n)s %(state)s", n=n, state=word) for n, word in counted if n) + "."


def coverage(living: Sequence[tuple[VantageRow, str]]) -> list[dict[str, Any]]:
    """Vantages by country, then the controls."""
    places: dict[tuple[bool, str], list[tuple[VantageRow, str]]] = defaultdict(list)
    for probe, status in living:
        places[probe.role == "control", probe.country].append((probe, status))
    return [
        {
            "country": country,
            "control": control,
            "online": sum(status == "online" for _probe, status in members),
            "degraded": sum(status == "degraded" for _probe, status in members),
            "total": len(members),
            "networks": len({probe.asn for probe, _ in members}),
            "owners": len({probe.owner for probe, _ in members}),
        }
        for (control, country), members in sorted(places.items())
    ]


def _no_vantage(others: bool, ours: bool) -> str:
    if ours:
        return _(
            "No vantage of ours is online: events that are open rest on what was measured earlier. "
            "Make a token and give it to a volunteer, or use it yourself."
        )
    if others:
        return _(
            "No vantage of ours is online: what is shown rests on volunteers of OONI, hours later "
            "and without controls. Make a token and give it to a volunteer, or use it yourself."
        )
    return _(
        "No vantage is online, so nothing is measured. Make a token and give it to a volunteer, or "
        "use it yourself."
    )


def _no_control(alone: bool, others: bool, ours: bool) -> str:
    lacks = _("One vantage, no control") if alone else _("No control is online")
    if ours:
        return _(
            "%(missing)s: nothing new can be called blocked, because nothing shows that the "
            "services themselves are up. Run a control on a machine in an uncensored network.",
            missing=lacks,
        )
    if others:
        return _(
            "%(missing)s: nothing can be confirmed yet, because nothing of ours shows that the "
            "services themselves are up. Run a control on a machine in an uncensored network.",
            missing=lacks,
        )
    return _(
        "%(missing)s: nothing can be called blocked yet, because nothing shows that the services "
        "themselves are up. Run a control on a machine in an uncensored network.",
        missing=lacks,
    )


def missing(
    vantages: Sequence[VantageRow],
    controls: Sequence[VantageRow],
    measured: bool,
    others: bool = False,
    ours: bool = False,
) -> list[tuple[str, str]]:
    """What is missing for a verdict: (sentence, command that adds it). `others`: measurements that
    others publish are stored; `ours`: an event of our own vantages is open."""
    gaps: list[tuple[str, str]] = []
    if not vantages:
        gaps.append((_no_vantage(others, ours), "reachwatch token new --role vantage --owner NAME"))
    if not controls:
        lacks = _no_control(len(vantages) == 1, others, ours)
        gaps.append((lacks, "reachwatch token new --role control --owner NAME"))
    thin = len(vantages) == 1 or (
        len(vantages) > 1 and len({probe.owner for probe in vantages}) == 1
    )
    if thin and measured:
        gaps.append(
            (
                _(
                    "One vantage, or several of one owner, can never confirm a block: two vantages "
                    "of two owners in the same network can."
                ),
                "reachwatch token new --role vantage --owner SOMEBODY-ELSE",
            )
        )
    unknown = [
        probe for probe in vantages if probe.country == words.UNKNOWN_COUNTRY or probe.asn == 0
    ]
    if unknown:
        gaps.append(
            (
                _(
                    "%(vantages)s did not say where they are and have no vote. Start them with "
                    "their country and network.",
                    vantages=words.plural(len(unknown), "vantage"),
                ),
                "reachprobe run --country CC --asn N",
            )
        )
    return gaps
