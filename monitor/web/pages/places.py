# SPDX-License-Identifier: Apache-2.0
"""The pages of a country and of a network: which services fail there, at which step, and who
measures there.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import msgspec
from aiohttp import web
from msgspec.structs import replace

from monitor.detection.events.present import LatestVerdict, confirmed_open
from monitor.detection.model import (
    OWN_SOURCE,
    Event,
    EventState,
    Layer,
    LayerFinding,
    State,
    Votes,
    layer_of,
)
from monitor.store.engines import ReadTransaction
from monitor.store.reading.counts import ServiceHour, count_vantages
from monitor.store.reading.progress import sources_in
from monitor.store.records import Filter
from monitor.text import (
    event_headlines,
    event_sources,
    event_state,
    event_subject,
    network_condition,
    words,
)
from monitor.text.language import _, current, n_
from monitor.text.network_names import network as label
from monitor.text.network_names import registered_name
from monitor.web.both_sources import one_picture
from monitor.web.draw import coverage, strips
from monitor.web.draw.event_marks import Breadth, in_network
from monitor.web.draw.matrix import network_matrix
from monitor.web.draw.now_rows import LayerCell, LayerRow
from monitor.web.event_failures import told_by_events
from monitor.web.fleet import Probes, active, fleet, unwatched, watchlist_of_network
from monitor.web.history import TimeRange, chosen_range
from monitor.web.moment import reading, site_of
from monitor.web.network_conditions import network_conditions
from monitor.web.params import MAX_ASN
from monitor.web.present import Present
from monitor.web.render import render
from monitor.web.site import Site
from monitor.web.views import (
    drawn_window,
    known_between,
    known_events,
    overlapping,
    record,
    services_here,
    strip_rows,
)
from probes.wire.measurement import service_of
from probes.wire.target import Service

USUAL = (Layer.DNS, Layer.TCP, Layer.TLS, Layer.HTTP)
"""Layers that the table always has; others are added when they were measured."""


class PlaceFilter(msgspec.Struct, frozen=True, kw_only=True):
    """A country, or networks of one number (which may be in several countries)."""

    name: str
    """As written after "in"."""
    country: str | None = None
    asns: tuple[int, ...] = ()

    def holds(self, country: str, asn: int) -> bool:
        """Whether a network of a country is in it."""
        return self.country in (None, country) and (not self.asns or asn in self.asns)


async def country(request: web.Request) -> web.Response:
    """Render a country."""
    site = site_of(request)
    code = request.match_info["country"]
    if code != code.upper():
        raise web.HTTPMovedPermanently(f"/c/{code.upper()}")
    if code not in words.COUNTRIES and code != words.UNKNOWN_COUNTRY:
        raise web.HTTPNotFound(reason="No country has this code.")
    here = PlaceFilter(name=words.country(code), country=code)
    span = chosen_range(request)
    async with reading(request) as (connection, present):
        members = active(fleet(site, present, present.vantages_by_country.get(code, ())))
        events = await known_events(site, connection, Filter(country=code))
        values = await shared_values(site, connection, present, here, events, members, span)
    rows = present.states(Filter(country=code))
    opened = open_events(events)
    values |= {
        "title": words.sentence(here.name),
        "code": code,
        "headline": values["past"]
        if span
        else _("Every vantage has stated its country.")
        if code == words.UNKNOWN_COUNTRY and not members and not events
        else headline(
            here,
            opened,
            site.service_names,
            members,
            bool(rows),
            bool(events),
            values["measured"],
            values["lost"],
        ),
        "matrix": network_matrix(values["services"], rows, opened),
    }
    return await render(request, "country.html", values)


async def network(request: web.Request) -> web.Response:
    """Render a network."""
    site = site_of(request)
    asn = int(request.match_info["asn"])
    if asn > MAX_ASN:
        raise web.HTTPNotFound(reason="No network has this number.")
    if request.match_info["asn"] != str(asn):
        raise web.HTTPMovedPermanently(f"/as/{asn}")
    span = chosen_range(request)
    async with reading(request) as (connection, present):
        members = active(fleet(site, present, present.vantages_by_network.get(asn, ())))
        verdicts = present.verdicts(asn)
        events = await known_events(site, connection, Filter(asn=asn))
        countries = sorted(
            {probe.country for probe, _ in members}
            | {event.country for event in events}
            | {one.country for one in verdicts}
        )
        name = label(asn)
        if len(countries) == 1:
            name = _(
                "%(network)s in %(country)s", network=name, country=words.country(countries[0])
            )
        here = PlaceFilter(name=name, asns=(asn,))
        values = await shared_values(site, connection, present, here, events, members, span)
        conditions = {} if span else await network_conditions(site, connection, present, asn)
    layers = layers_of(verdicts)
    opened = open_events(events)
    values |= {
        "title": name,
        "asn": asn,
        "registered": registered_name(asn),
        "headline": values["past"]
        if span
        else headline(
            here,
            opened,
            site.service_names,
            members,
            bool(verdicts),
            bool(events),
            values["measured"],
            values["lost"],
        ),
        "countries": countries,
        "conditions": [
            network_condition.sentence(condition, label(asn))
            for _place, condition in sorted(conditions.items())
        ],
        "layers": layers,
        "rows": layer_table(verdicts, present.origins, layers, opened, asn, site.service_names),
        "watch": watchlist_of_network(opened, asn),
    }
    return await render(request, "network.html", values)


async def shared_values(
    site: Site,
    connection: ReadTransaction,
    present: Present,
    here: PlaceFilter,
    events: Sequence[Event],
    members: Probes,
    span: TimeRange | None,
) -> dict[str, Any]:
    """The values that both templates take."""
    window = await drawn_window(site, connection, present, span, None, fine=True)
    services = await services_here(site, connection, present)
    rows = await strip_rows(site, connection, window, services, here.country, here.asns)
    asn = here.asns[0] if here.asns else None
    mine = Filter(country=here.country, asn=asn)
    past = await known_between(site, connection, mine, window, events) if span else ()
    lasting = past if span else events
    if asn is not None:
        lasting = [in_network(event, asn) for event in lasting]
    shown = await told_by_events(site, connection, rows, lasting, window)
    lasted = overlapping(past, window)
    listed, pairs = one_picture(events)
    return {
        "record": await record(site, connection, mine),
        "measured": bool(rows) or was_measured(present, here),
        "lost": unwatched(site, present, open_events(events)),
        "past": event_headlines.in_range(
            one_picture(lasted)[0],
            site.service_names,
            here.name,
            words.between(window.since, min(window.until, site.clock())),
            measured=bool(rows),
        ),
        "by_service": service_strips(
            site,
            services,
            shown,
            window,
            lasting,
            lasted if span else open_events(events),
            Breadth.NETWORK if here.asns else Breadth.COUNTRY,
        ),
        "control": strips.control_strip(rows, window, site.interval_ms, site.service_names)
        if rows
        else None,
        "window": window,
        "chosen": span,
        "watched": await vantage_coverage(site, connection, present, services, rows, window, here),
        "services": services,
        "members": members,
        "events": sorted(listed, key=lambda event: (not event.ongoing, -event.onset)),
        "beside": pairs,
        "names": site.service_names,
    }


def was_measured(present: Present, here: PlaceFilter) -> bool:
    """Whether a vantage ever enrolled here, or others measured here."""
    return any(here.holds(place, asn) for _source, place, asn in present.origins.values()) or any(
        row.role == "vantage" and here.holds(row.country, row.asn) for row in present.vantages
    )


def open_events(events: Iterable[Event]) -> list[Event]:
    """Those that are open."""
    return [event for event in events if event.ongoing]


def service_strips(
    site: Site,
    services: Iterable[Service],
    rows: Iterable[strips.Row],
    window: strips.Window,
    events: Sequence[Event],
    told: Sequence[Event],
    breadth: Breadth,
) -> list[dict[str, Any]]:
    """A strip for each service that was measured here, those with an event that is `told` beside
    it first. `events` are those of here."""
    drawn: dict[str, strips.Strip] = strips.strips_by(
        attrgetter("service"), rows, window, site.interval_ms, events, breadth
    )
    made = [
        {
            "id": service.id,
            "name": service.name,
            "strip": drawn[service.id],
            "events": [event for event in told if event.service == service.id],
        }
        for service in services
        if service.id in drawn
    ]
    return sorted(made, key=lambda row: (not row["events"], row["name"].lower()))


async def vantage_coverage(
    site: Site,
    connection: ReadTransaction,
    present: Present,
    services: Iterable[Service],
    rows: Iterable[strips.Row],
    window: strips.Window,
    here: PlaceFilter,
) -> coverage.VantageCoverage:
    """How many vantages measured here, over the same time as the strips, which have these rows."""
    # What comes after this moment is not time in which nobody measured.
    until_now = replace(window, last=min(window.until, site.clock()))
    slots = coverage.coverage_window(until_now, site.interval_ms)
    hours = [row for row in rows if isinstance(row, ServiceHour)]
    counts = (
        most_vantages(hours, slots)
        if window.hourly or window.daily
        else await count_vantages(
            connection,
            [target.id for service in services for target in service.targets],
            slots.since,
            slots.until,
            slots.width,
            here.country,
            here.asns,
        )
    )
    others = any(here.holds(place, asn) for _source, place, asn in present.origins.values())
    sources = await sources_in(connection, here.country, here.asns) if others else ()
    return coverage.coverage_strip(counts, slots, watchers_of(sources))


def watchers_of(sources: Collection[str]) -> coverage.Watchers:
    """Whose vantages the counts of a place contain, from the sources of its measurements."""
    if all(source == OWN_SOURCE for source in sources):
        return coverage.Watchers.OWN
    return coverage.Watchers.BOTH if OWN_SOURCE in sources else coverage.Watchers.OTHERS


def most_vantages(hours: Iterable[ServiceHour], slots: strips.Window) -> Mapping[int, int]:
    """Vantages by number of the slot: those that measured the most measured service in the best
    hour. A network of two countries has those of both."""
    by_service: dict[str, dict[int, int]] = defaultdict(dict)
    for each in hours:
        together = by_service[each.service]
        together[each.hour] = together.get(each.hour, 0) + each.vantages
    most: dict[int, int] = {}
    for together in by_service.values():
        for hour, n in together.items():
            if n > most.get(hour, -1):
                most[hour] = n
    counts: dict[int, int] = defaultdict(int)
    for hour, n in most.items():
        slot = (hour - slots.since) // slots.width
        counts[slot] = max(n, counts[slot])
    return counts


def headline(
    here: PlaceFilter,
    opened: Sequence[Event],
    names: Mapping[str, str],
    members: Probes,
    judged: bool,
    known: bool = False,
    measured: bool = False,
    lost: Collection[str] = (),
) -> str:
    """The answer in one sentence (two where nothing is blocked). `opened` are the events of
    here, `judged` whether any recent verdict is, `known` whether there was ever an event,
    `measured` whether there was ever a measurement, as far as it is told, `lost` the ids of
    open events that nobody measures now."""
    live = [event for event in opened if event.stands]
    confirmed = confirmed_open(live)
    if live:
        text = _of_events(here, live, confirmed, names)
        return event_headlines.with_lost(text, confirmed or live, lost)
    return _without_events(here, members, judged, known, measured)


def _of_events(
    here: PlaceFilter, live: Sequence[Event], confirmed: Sequence[Event], names: Mapping[str, str]
) -> str:
    """The answer from the events that stand, of which some are `confirmed`."""
    if len(confirmed) == 1:
        return _of_one(here, confirmed[0], names)
    if confirmed:
        return _blocked(confirmed, names, _where(here, confirmed))
    if len(live) == 1:
        return _of_one(here, live[0], names)
    services = len({event.service for event in live})
    if all(event_state.data_end(event) is not None for event in live):
        return n_(
            "%(n)s service may have been blocked in %(place)s where the data end; none of it "
            "is confirmed.",
            "%(n)s services may have been blocked in %(place)s where the data end; none of it "
            "is confirmed.",
            services,
            n=words.number(services, capital=True),
            place=here.name,
        )
    return n_(
        "%(n)s service may be blocked in %(place)s; none of it is confirmed.",
        "%(n)s services may be blocked in %(place)s; none of it is confirmed.",
        services,
        n=words.number(services, capital=True),
        place=here.name,
    )


def _without_events(
    here: PlaceFilter, members: Probes, judged: bool, known: bool, measured: bool
) -> str:
    """The answer where no event stands."""
    vantages = [(probe, status) for probe, status in members if probe.role == "vantage"]
    if not vantages and not judged and not known:
        if members:
            return _(
                "No vantages in %(place)s, only a control, which vantages elsewhere are compared "
                "with.",
                place=here.name,
            )
        if measured:
            return _(
                "No recent measurements in %(place)s, so what is blocked there now is not known.",
                place=here.name,
            )
        return _("No measurements yet: there are no probes in %(place)s.", place=here.name)
    online = sum(status == "online" for _probe, status in vantages)
    if not online:
        return _(
            "No vantage in %(place)s is online, so what is blocked now is not known.",
            place=here.name,
        )
    if not judged:
        return _("No conclusions about %(place)s yet.", place=here.name)
    watch = n_(
        "%(n)s vantage is watching.",
        "%(n)s vantages are watching.",
        online,
        n=words.number(online, capital=True),
    )
    return _("No known blocks in %(place)s. %(watch)s", place=here.name, watch=watch)


def _of_one(here: PlaceFilter, event: Event, names: Mapping[str, str]) -> str:
    """What the event's page says, of this place."""
    name = names.get(event.service, event.service)
    if here.asns:
        return event_headlines.headline_in(event, name, here.asns, _where(here, [event]))
    return event_headlines.headline(event, name)


def _blocked(confirmed: Sequence[Event], names: Mapping[str, str], where: str) -> str:
    """`WeChat's web client is blocked …`, `… and Signal's messaging are …`, `Three services are
    …`."""
    services = sorted({event.service for event in confirmed})
    match services:
        case [one]:
            return event_headlines.blocked_somewhere(confirmed, names.get(one, one), where)
        case [_one, _two] if any(event.state is EventState.OPEN for event in confirmed):
            first, last = (
                event_subject.common_subject(
                    [event for event in confirmed if event.service == id], names.get(id, id)
                )
                for id in services
            )
            return _(
                "%(first)s and %(last)s are blocked %(where)s.", first=first, last=last, where=where
            )
        case _:
            return event_headlines.services_blocked(confirmed, where)


def _where(here: PlaceFilter, confirmed: Sequence[Event]) -> str:
    if here.asns:
        return _("in %(place)s", place=here.name)
    return event_subject.in_networks(
        len({asn for event in confirmed for asn in event.asns}), here.name
    )


def layers_of(verdicts: Iterable[LatestVerdict]) -> Sequence[Layer]:
    """The layers of the table, shallowest first."""
    told = [one.verdict for one in verdicts]
    seen = {verdict.layer for verdict in told}
    seen |= {finding.layer for verdict in told for finding in verdict.findings}
    return [layer for layer in Layer if layer in seen or layer in USUAL]


def layer_table(
    verdicts: Iterable[LatestVerdict],
    others: Container[str],
    layers: Sequence[Layer],
    opened: Sequence[Event],
    asn: int,
    names: dict[str, str],
) -> list[LayerRow]:
    """One row a function, by country and service; `others` are not vantages of ours."""
    by_target: dict[tuple[str, str], list[LatestVerdict]] = defaultdict(list)
    for one in verdicts:
        by_target[one.country, one.target].append(one)
    rows = []
    for (country, target), seen in by_target.items():
        service = service_of(target)
        mine = [
            event
            for event in opened
            if event.service == service
            and event.country == country
            and target in event.targets
            and event.stands
        ]
        told = _by_layer(seen)
        cells = tuple(
            layer_cell(*told[layer], others, layer, mine, asn) if layer in told else None
            for layer in layers
        )
        rows.append(LayerRow(country, target, names.get(service, service), cells))
    return sorted(rows, key=lambda row: (row.country, row.service.lower(), row.target))


_Findings = list[tuple[str, LayerFinding]]
_Untold = list[tuple[str, str]]


def _by_layer(seen: Iterable[LatestVerdict]) -> Mapping[Layer, tuple[_Findings, _Untold]]:
    """What vantages found of each layer, and the rules of those that failed there for a cause that
    cannot be told; each with its probe."""
    told: dict[Layer, tuple[_Findings, _Untold]] = defaultdict(lambda: ([], []))
    for one in seen:
        verdict = one.verdict
        for finding in verdict.findings:
            told[finding.layer][0].append((one.probe, finding))
        if (
            verdict.layer is not None
            and verdict.state is State.INCONCLUSIVE
            and all(finding.layer is not verdict.layer for finding in verdict.findings)
        ):
            told[verdict.layer][1].append((one.probe, verdict.rule))
    return told


def layer_cell(
    here: _Findings,
    untold: _Untold,
    others: Container[str],
    layer: Layer,
    opened: Sequence[Event],
    asn: int,
) -> LayerCell:
    """The cell of a layer that somebody saw. What fails is called blocked only as far as an event
    says so, and what fails for a cause that cannot be told is not left out."""
    everybody = [probe for probe, _said in [*here, *untold]]
    failing = [(probe, finding.rule) for probe, finding in here if finding.blocked]
    if not failing and not untold:
        return _works(len(everybody), sum(map(others.__contains__, everybody)), current().language)
    told = failing or untold
    base = _base([probe for probe, _rule in told], everybody, others)
    rules = tuple(sorted({rule for _probe, rule in told}))
    if not failing:
        return LayerCell("inconclusive", _("cause unclear"), base, rules)
    for event in opened:
        if _is_about(event, asn, layer):
            return LayerCell(
                words.TIER_KINDS[event.tier], event_state.tier_word(event), base, rules, event.id
            )
    return LayerCell("inconclusive", _("fails, not confirmed"), base, rules)


@functools.lru_cache(maxsize=1024)
def _works(total: int, theirs: int, _language: str) -> LayerCell:
    """The cell of a layer that fails for nobody, which most of the hundreds of a page are."""
    ours = Votes(total - theirs, total - theirs)
    return LayerCell("ok", _("works"), event_sources.seen_here(ours, Votes(theirs, theirs)))


def _base(agreeing: Sequence[str], total: Sequence[str], others: Container[str]) -> str:
    """How many of the probes say it, ours and others apart."""
    theirs = [sum(probe in others for probe in some) for some in (agreeing, total)]
    ours = Votes(len(agreeing) - theirs[0], len(total) - theirs[1])
    return event_sources.seen_here(ours, Votes(*theirs))


def _is_about(event: Event, asn: int, layer: Layer) -> bool:
    if event.networks:
        return any(each.asn == asn and each.layer == layer for each in event.networks)
    return asn in event.asns and layer_of(event.technique) == layer
