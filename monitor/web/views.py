# SPDX-License-Identifier: Apache-2.0
"""What several pages and API lists read from the store."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec
from aiohttp import web
from msgspec.structs import replace
from yarl import URL

from monitor.collector.admission import QuarantineReason
from monitor.detection.model import Event, EventState, Tier
from monitor.interop.forms import event_form, rfc3339
from monitor.metrics.exposition import Snapshot
from monitor.store.engines import ReadTransaction
from monitor.store.followed import progress_of
from monitor.store.reading.counts import StateCount, count_states, judged_rounds
from monitor.store.reading.days import dropped_before
from monitor.store.reading.events import (
    count_transitions,
    get_event,
    list_ended_events,
    list_events,
    list_events_beside,
    opened_in_journal,
)
from monitor.store.reading.measurements import measured_targets
from monitor.store.reading.progress import (
    ingest_counters,
    last_folded_round,
    last_received,
    newest_of_last_arrived,
    probes_enrolled,
)
from monitor.store.reading.proof import proof_of
from monitor.store.reading.published import published_events
from monitor.store.reading.vantages import VantageRow, last_received_by
from monitor.store.records import Filter
from monitor.text import event_subject, words
from monitor.text.event_state import data_end
from monitor.web.draw import strips
from monitor.web.draw.event_marks import is_drawn
from monitor.web.event_failures import as_failures
from monitor.web.fleet import active, fleet, ways_in_use
from monitor.web.history import TimeRange, counted_until, sums
from monitor.web.network_conditions import network_conditions
from monitor.web.params import BadParameterError
from monitor.web.present import Present
from monitor.web.site import Site
from probes.wire.measurement import LIVENESS
from probes.wire.target import Service, Target

NEWEST = 100
"""Events that a page shows of all times."""
LARGE_FLEET = 100
"""With more vantages than this the shortest strips have slices of an hour."""
MIN_ENDED_MS = 10_000
"""An ended event stays in the metrics at least this long, so that several scrapes see it."""
LAST_ENDED_SECONDS = 6 * 3600
"""The last one of a service and country stays for this long: nothing else tells its end to those
who were told of it, and Alertmanager may be away for hours."""


async def common_window(site: Site, connection: ReadTransaction) -> strips.Window:
    """The time window of the strips of several services."""
    return await window(site, connection, None)


async def window(site: Site, connection: ReadTransaction, service: str | None) -> strips.Window:
    """The time window of a service's strips (None: of all services together): up to
    `strips.longest`, as far as it was measured."""
    now = site.clock()
    span = strips.longest(site.policy)
    oldest, newest = await judged_rounds(connection, service, now - span, now)
    large = len(site.present.last_read().vantages) > LARGE_FLEET
    interval = site.interval_ms
    return strips.window(now, oldest, newest, site.policy, interval, large=large)


async def drawn_window(
    site: Site,
    connection: ReadTransaction,
    present: Present,
    span: TimeRange | None,
    service: str | None,
    *,
    fine: bool = False,
) -> strips.Window:
    """The window of a service's strips (None: of all services together) in a chosen range, which
    knows where what was measured ends; without a range the usual one. `present` is that of the
    moment; `fine`: a short range need not be of whole hours."""
    if span is None:
        return await window(site, connection, service)
    now, chosen = site.clock(), span.window
    if fine and (exact := span.fine_window) is not None:
        large = len(site.present.last_read().vantages) > LARGE_FLEET
        first, _newest = await judged_rounds(connection, service, exact.since, exact.until)
        # Of a large fleet they are too many, and of old rounds there are only sums.
        chosen = chosen if large or first is None else exact
    newest = present.newest_rounds.get(service)
    if site.as_of is not None or newest is None or not chosen.since <= newest < chosen.until:
        _oldest, newest = await judged_rounds(connection, service, chosen.since, chosen.until)
    last = chosen.until if newest is None else newest + site.interval_ms
    return replace(chosen, last=min(last, now))


async def known_events(
    site: Site, connection: ReadTransaction, chosen: Filter, limit: int = NEWEST
) -> Sequence[Event]:
    """The events that pass a filter, newest onset first, as they were at the site's moment."""
    if site.as_of is not None:
        return (await published_events(connection, site.as_of, chosen)).events[:limit]
    return await list_events(connection, chosen, limit=limit)


async def known_between(
    site: Site,
    connection: ReadTransaction,
    chosen: Filter,
    window: strips.Window,
    known: Sequence[Event],
) -> Sequence[Event]:
    """`known_events` of a window, where `known` are those of all times (NEWEST at most)."""
    since, until = window.since, window.until
    if site.as_of is not None:
        return known  # what was published by a moment is not chosen by its time
    if len(known) >= NEWEST:
        within = replace(chosen, since=since, until=until)
        return await known_events(site, connection, within)
    return [
        event
        for event in known
        if event.onset < until and (event.ongoing or (event.closed or event.updated) >= since)
    ]


async def known_event(site: Site, connection: ReadTransaction, id: str) -> Event | None:
    """One event, as it was at the site's moment; None where none was published then."""
    event = await get_event(connection, id)
    if site.as_of is None or event is None:
        return event
    mine = Filter(service=event.service, country=event.country)
    found = (await published_events(connection, site.as_of, mine)).events
    return next((each for each in found if each.id == id), None)


async def known_beside(
    site: Site, connection: ReadTransaction, id: str
) -> tuple[Event | None, Sequence[Event]]:
    """`known_event`, and the `known_events` of its service and country."""
    if site.as_of is None:
        return await list_events_beside(connection, id, NEWEST)
    event = await known_event(site, connection, id)
    if event is None:
        return None, ()
    mine = Filter(service=event.service, country=event.country)
    return event, await known_events(site, connection, mine)


EventKey = tuple[int, str]
"""Onset and id: what lists of events are paged by."""


async def events_at(
    site: Site,
    connection: ReadTransaction,
    chosen: Filter,
    state: str | None = None,
    after: EventKey | None = None,
    limit: int = 100,
) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """A page of the list of events of the API at the site's moment, and the key of the next."""
    rows: Sequence[Event]
    reconstructed: Collection[str] = ()
    if site.as_of is None:
        rows = await list_events(connection, chosen, state=state, after=after, limit=limit + 1)
    else:
        published = await published_events(connection, site.as_of, chosen)
        reconstructed = published.reconstructed | published.unpublished
        rows = [
            event
            for event in published.events
            if (after is None or (event.onset, event.id) < after)
            and (state in (None, event.state) or (state == EventState.OPEN and event.ongoing))
        ]
    page = rows[:limit]
    following = f"{page[-1].onset}-{page[-1].id}" if len(rows) > limit else None
    # What the confidence was then is not known of those that were not kept.
    forms = [
        event_form(row) | ({"confidence": None} if row.id in reconstructed else {}) for row in page
    ]
    return forms, following


class PublishedRecord(msgspec.Struct, frozen=True):
    """What was published at a moment, for a citation: whoever asks the address gets these bytes."""

    address: str
    sha256: str


async def record(
    site: Site, connection: ReadTransaction, chosen: Filter, state: str | None = None
) -> PublishedRecord | None:
    """The record of a page of the past; None of the present, which changes."""
    if site.as_of is None:
        return None
    rows, following = await events_at(site, connection, chosen, state)
    body = msgspec.json.encode({"events": rows, "next": following} | site.simulated)
    query = {
        name: str(value)
        for name, value in (
            ("state", state),
            ("service", chosen.service),
            ("country", chosen.country),
            ("asn", chosen.asn),
            ("source", chosen.source),
            ("as_of", rfc3339(site.as_of)),
        )
        if value is not None
    }
    address = str(URL("/api/v1/events").with_query(query))
    return PublishedRecord(address, hashlib.sha256(body).hexdigest())


async def last_measurement(
    site: Site, connection: ReadTransaction, known: Iterable[Event]
) -> int | None:
    """When the last measurement had come at the site's moment, of which the events are `known`;
    None before the first. Where the batches of that time were dropped, or came later, what was
    judged or concluded from them tells that there were measurements."""
    if site.as_of is None:
        return await last_received(connection)
    received = await last_received_by(connection, site.as_of)
    if received is not None:
        return received
    _oldest, judged = await judged_rounds(connection, None, 0, site.as_of + 1)
    updated = [event.updated for event in known if event.updated <= site.as_of]
    return max(filter(None, (judged, *updated)), default=None)


def until_of(site: Site) -> int | None:
    """The end (excluded) of what is listed at the site's moment; None at the present."""
    return None if site.as_of is None else site.as_of + 1


def measurements_of(event: Event, now: int) -> Filter:
    """What chooses all measurements of an event: of its functions in its networks, from before its
    onset until it was closed, or until the data of an import end that do not say so: what others
    measured since is no part of it."""
    ended = data_end(event) if event.ongoing else event.closed or event.updated
    return Filter(
        service=event.service,
        country=event.country,
        since=event.onset_earliest,
        until=1 + (now if ended is None else ended),
        targets=event.targets,
        asns=event.asns,
    )


async def in_event(
    site: Site, connection: ReadTransaction, id: str, wanted: Filter
) -> tuple[Event, Filter]:
    """An event, and the filter of its measurements, narrowed by that of a request. Raises
    BadParameterError."""
    event = await known_event(site, connection, id) if re.fullmatch("[0-9a-f]{16}", id) else None
    if event is None:
        raise BadParameterError(f"event: there is none with the id {id[:40]!r}")
    mine = measurements_of(event, site.clock())
    return event, replace(
        wanted,
        service=mine.service,
        country=mine.country,
        targets=mine.targets,
        asns=mine.asns,
        since=max(filter(None, (mine.since, wanted.since))),
        until=min(filter(None, (mine.until, wanted.until))),
    )


def overlapping(events: Iterable[Event], chosen: strips.Window) -> list[Event]:
    """The events that stand, of more than one vantage, that lasted at some time of a window; the
    surest first, of these what has not ended."""
    found = [event for event in events if is_drawn(event, chosen.since, chosen.until)]
    return sorted(
        found, key=lambda event: (event.tier is not Tier.CONFIRMED, not event.ongoing, -event.onset)
    )


async def event_strips(
    site: Site, connection: ReadTransaction, events: Sequence[Event], chosen: strips.Window
) -> Mapping[str, strips.Strip]:
    """By event, the states of its targets in its networks."""
    series: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for event in events:
        for target in event.targets:
            for asn in event.asns:
                series[target, event.country, asn].append(event.id)
    counts: dict[str, list[StateCount]] = defaultdict(list)
    for row in await counted_until(site, connection, list(series), chosen):
        for id in series[row.target, row.country, row.asn]:
            counts[id].append(row)
    interval = site.interval_ms
    return {
        event.id: strips.strip(
            as_failures(event, counts[event.id], chosen.until, chosen.width),
            chosen,
            interval,
            [event],
            what=event_subject.functions(event),
        )
        for event in events
    }


async def services_here(
    site: Site, connection: ReadTransaction, present: Present
) -> Sequence[Service]:
    """Those of the catalogue, then those of which something was concluded and that have left it, by
    their ids."""
    left = present.services.keys() - site.service_names.keys() - {LIVENESS}
    if not left:
        return site.catalogue.services
    measured = await measured_targets(connection)
    return [
        *site.catalogue.services,
        *(
            Service(
                id=id,
                name=id,
                targets=tuple(Target(id=one, endpoints=()) for one in measured.get(id, ())),
            )
            for id in sorted(left)
        ),
    ]


async def known_service(
    site: Site, connection: ReadTransaction, present: Present, id: str
) -> Service:
    """A service of `services_here`. Raises HTTPNotFound."""
    if (service := site.service(id)) is not None:
        return service
    for service in await services_here(site, connection, present):
        if service.id == id:
            return service
    raise web.HTTPNotFound(reason="No service of this name is in the catalogue.")


async def strip_rows(
    site: Site,
    connection: ReadTransaction,
    window: strips.Window,
    services: Sequence[Service],
    country: str | None = None,
    asns: Sequence[int] = (),
) -> Sequence[strips.Row]:
    """What strips of services are drawn from. Without `asns`, of all networks."""
    if window.hourly or window.daily:
        return await sums(site, connection, window, [each.id for each in services], country, asns)
    targets = [target.id for service in services for target in service.targets]
    return await count_states(
        connection, targets, window.since, window.until, window.width, country, asns
    )


async def no_measurement(site: Site, id: str) -> web.HTTPNotFound:
    """What to answer where there is no measurement of an id that can be shown: whoever follows a
    citation must not take one that was dropped, or that cannot be decoded, for one that never
    was."""
    reason = "There is no measurement with this id."
    async with site.database.reading() as connection:
        if await proof_of(connection, id) is not None:
            reason = (
                "A measurement with this id is stored, but its line cannot be decoded; "
                f"/m/{id}/proof has it as the probe sent it."
            )
        elif before := await dropped_before(connection):
            day = words.machine(before)[:10]
            reason += (
                f" Those before {day} were dropped, except what events name as evidence; "
                "files of archived days are at /data."
            )
    return web.HTTPNotFound(reason=reason)


async def snapshot(site: Site, connection: ReadTransaction, present: Present) -> Snapshot:
    """Everything for one scrape."""
    published = await opened_in_journal(connection, [event.id for event in present.opened])
    transitions = await count_transitions(connection)
    tallies = await ingest_counters(connection)
    last = await last_received(connection)
    newest = await newest_of_last_arrived(connection)
    concluded = await last_folded_round(connection)
    enrolled = await probes_enrolled(connection)
    followed = await progress_of(connection)
    # Twice as long as the counters' own window in the rules, which this one must outlast.
    span = 2 * site.policy.ms(site.policy.rounds.silent_seconds)
    ended = await list_ended_events(
        connection,
        site.clock() - max(span, MIN_ENDED_MS),
        site.clock() - site.policy.ms(LAST_ENDED_SECONDS),
    )
    conditions = await network_conditions(site, connection, present)
    # A label comes only from what we know ourselves: a probe may name targets that nobody has.
    known = {target.id for service in site.catalogue.services for target in service.targets}
    standing = active(fleet(site, present))
    ways = await ways_in_use(site, standing)
    return Snapshot(
        conclusions=present.conclusions or 0,
        open_events=[event for event in present.opened if event.id in published],
        transitions=transitions,
        services=[service.id for service in site.catalogue.services],
        names=site.service_names,
        country_names={
            code: words.COUNTRIES.get(code, code)
            for code in (
                {row.country for row, _ in standing if row.role == "vantage"}
                | {event.country for event in present.opened}
                | {event.country for event, _ in ended}
            )
        },
        countries=sorted({row.country for row, _ in standing if row.role == "vantage"}),
        present=[row for row in present.states() if row.target in known],
        vantages=[(row.country, row.role, status) for row, status in standing],
        ways=ways,
        owners=_owners(row for row, _ in standing if row.role == "vantage"),
        enrolled=enrolled,
        enrolments_refused=site.enrolments.refused,
        page_processes=None
        if site.processes is None
        else (site.processes.ready, site.processes.ended),
        conditions={place: here.condition for place, here in conditions.items()},
        ended=ended,
        tallies=tallies,
        reasons=list(QuarantineReason),
        retests=None if site.retests_requested is None else site.retests_requested()[0],
        backlog=None if site.backlog is None else site.backlog(),
        followed={progress.source: progress.lag_ms(site.clock()) / 1000 for progress in followed},
        webhooks=site.webhooks(),
        last_received=last,
        last_concluded=concluded,
        newest_round=newest,
    )


def _owners(rows: Iterable[VantageRow]) -> Mapping[str, int]:
    owners: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        owners[row.country].add(row.owner)
    return {place: len(who) for place, who in owners.items()}
