# SPDX-License-Identifier: Apache-2.0
"""What several pages and API lists ask of the store, already put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from monitor.collector.admission import REASONS
from monitor.detection.model import Event, State
from monitor.detection.sequence.present import Present, Sight, present
from monitor.metrics.exposition import Snapshot
from monitor.store.engines import ReadTransaction
from monitor.store.reading.counts import StateCount, count_states, judged_rounds
from monitor.store.reading.events import count_transitions, list_ended_events, list_events
from monitor.store.reading.measurements import newest_verdicts
from monitor.store.reading.progress import ingest_counters, last_folded_round, last_received
from monitor.store.reading.vantages import VantageRow, clock_offsets, list_vantages
from monitor.store.records import Filter
from monitor.web.draw import strips
from monitor.web.site import Site

RECENT_ROUNDS = 4
"""How many intervals back a verdict still counts as the present."""
MIN_ENDED_MS = 10_000
"""However fast the pace, an end is shown for several scrapes."""
CLOCK_MS = 30_000
"""A clock that is wrong by more puts measurements into other rounds than the control's."""


def recent_since(site: Site) -> int:
    """Rounds from here on (Unix ms) make up the present."""
    span = max(RECENT_ROUNDS * site.interval_seconds * 1000, site.policy.ms(900))
    return site.clock() - span


def heard_lately(site: Site, row: VantageRow) -> bool:
    """Whether a probe was heard within the policy's time for silence."""
    silent = site.policy.ms(site.policy.silent_seconds)
    return row.last_seen is not None and site.clock() - row.last_seen <= silent


def statuses(
    site: Site, rows: Iterable[VantageRow], sights: Iterable[Sight], offsets: Mapping[str, int]
) -> Sequence[tuple[VantageRow, str]]:
    """Each probe with `revoked`, `silent`, `degraded` or `online`. Degraded is one that is heard
    and yet of no use: it was offline in everything that it measured lately, or its clock is
    wrong by over CLOCK_MS."""
    states: dict[str, set[State]] = defaultdict(set)
    for sight in sights:
        states[sight.probe].add(sight.verdict.state)
    said = []
    for row in rows:
        if row.revoked is not None:
            status = "revoked"
        elif not heard_lately(site, row):
            status = "silent"
        elif states[row.id] == {State.VANTAGE_OFFLINE} or abs(offsets.get(row.id, 0)) > CLOCK_MS:
            status = "degraded"
        else:
            status = "online"
        said.append((row, status))
    return said


async def fleet(
    site: Site, connection: ReadTransaction, sights: Sequence[Sight] | None = None
) -> Sequence[tuple[VantageRow, str]]:
    """Every probe ever enrolled, with its status."""
    rows = await list_vantages(connection)
    if sights is None:
        sights = await newest_verdicts(connection, recent_since(site))
    offsets = await clock_offsets(connection, recent_since(site))
    return statuses(site, rows, sights, offsets)


async def presents(site: Site, chosen: Filter) -> Sequence[Present]:
    """Present states of every target in every network."""
    async with site.database.reading() as connection:
        sights = await newest_verdicts(connection, recent_since(site), chosen.service)
    return [
        row
        for row in present(sights)
        if chosen.country in (None, row.country)
        and chosen.asn in (None, row.asn)
        and chosen.target in (None, row.target)
    ]


async def window(site: Site, connection: ReadTransaction, service: str) -> strips.Window:
    """The stretch that strips of a service show: as much of the longest as there is."""
    now = site.clock()
    span = strips.longest(site.policy)
    oldest, newest = await judged_rounds(connection, service, now - span, now)
    return strips.window(now, oldest, newest, site.policy, site.interval_seconds * 1000)


def sights_of(rows: Iterable[StateCount]) -> Sequence[strips.Sight]:
    """Counted slices as a strip takes them."""
    return [strips.Sight(row.begin, row.state, row.n, (row.asn, row.target)) for row in rows]


async def event_strip(
    site: Site,
    connection: ReadTransaction,
    event: Event,
    chosen: strips.Window,
    asns: Sequence[int],
) -> strips.Strip:
    """What networks of an event saw of its targets in a window."""
    rows = await count_states(
        connection, event.targets, chosen.since, chosen.until, chosen.width, event.country, asns
    )
    return strips.strip(sights_of(rows), chosen, site.interval_seconds * 1000)


async def snapshot(site: Site) -> Snapshot:
    """Everything for one scrape."""
    async with site.database.reading() as connection:
        opened = await list_events(connection, state="open", published=True, limit=1000)
        moved = await count_transitions(connection)
        tallies = await ingest_counters(connection)
        sights = await newest_verdicts(connection, recent_since(site))
        probes = await fleet(site, connection, sights)
        last = await last_received(connection)
        concluded = await last_folded_round(connection)
        # Twice as long as the counters' own window in the rules, which this one must outlast.
        span = 2 * site.policy.ms(site.policy.silent_seconds)
        ended = await list_ended_events(connection, site.clock() - max(span, MIN_ENDED_MS))
    # A label comes only from what we know ourselves: a probe may name targets that nobody has.
    known = {target.id for service in site.catalogue.services for target in service.targets}
    living = [(row, status) for row, status in probes if status != "revoked"]
    return Snapshot(
        open_events=opened,
        transitions=moved,
        services=[service.id for service in site.catalogue.services],
        countries=sorted({row.country for row, _ in living if row.role == "vantage"}),
        present=[row for row in present(sights) if row.target in known],
        vantages=[(row.country, row.role, status) for row, status in living],
        owners=_owners(row for row, _ in living if row.role == "vantage"),
        ended=ended,
        tallies=tallies,
        reasons=REASONS,
        retests=None if site.asked is None else site.asked()[0],
        last_received=last,
        last_concluded=concluded,
    )


def _owners(rows: Iterable[VantageRow]) -> Mapping[str, int]:
    owners: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        owners[row.country].add(row.owner)
    return {place: len(who) for place, who in owners.items()}
