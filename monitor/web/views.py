# SPDX-License-Identifier: Apache-2.0
"""What several pages and API lists read from the store."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from monitor.collector.admission import REASONS
from monitor.detection.model import Event
from monitor.detection.sequence.present import PresentState, states_now
from monitor.metrics.exposition import Snapshot
from monitor.store.engines import ReadTransaction
from monitor.store.reading.counts import count_states, judged_rounds
from monitor.store.reading.events import count_transitions, list_ended_events, list_events
from monitor.store.reading.newest import newest_verdicts
from monitor.store.reading.progress import ingest_counters, last_folded_round, last_received
from monitor.store.reading.vantages import VantageRow
from monitor.store.records import Filter
from monitor.web.draw import strips
from monitor.web.fleet import fleet, recent_since
from monitor.web.site import Site

MIN_ENDED_MS = 10_000
"""An ended event stays in the metrics at least this long, so that several scrapes see it."""


async def present_states(site: Site, chosen: Filter) -> Sequence[PresentState]:
    """Present states of every target in every network."""
    async with site.database.reading() as connection:
        return states_now(await newest_verdicts(connection, recent_since(site), chosen))


async def window(site: Site, connection: ReadTransaction, service: str) -> strips.Window:
    """The time window of a service's strips: up to `strips.longest`, as far as it was measured."""
    now = site.clock()
    span = strips.longest(site.policy)
    oldest, newest = await judged_rounds(connection, service, now - span, now)
    return strips.window(now, oldest, newest, site.policy, site.interval_seconds * 1000)


async def event_strip(
    site: Site,
    connection: ReadTransaction,
    event: Event,
    chosen: strips.Window,
    asns: Sequence[int],
) -> strips.Strip:
    """The states of an event's targets in some of its networks."""
    rows = await count_states(
        connection, event.targets, chosen.since, chosen.until, chosen.width, event.country, asns
    )
    return strips.strip(rows, chosen, site.interval_seconds * 1000)


async def snapshot(site: Site) -> Snapshot:
    """Everything for one scrape."""
    async with site.database.reading() as connection:
        opened = await list_events(connection, state="open", published=True, limit=1000)
        transitions = await count_transitions(connection)
        tallies = await ingest_counters(connection)
        verdicts = await newest_verdicts(connection, recent_since(site))
        probes = await fleet(site, connection, verdicts)
        last = await last_received(connection)
        concluded = await last_folded_round(connection)
        # Twice as long as the counters' own window in the rules, which this one must outlast.
        span = 2 * site.policy.ms(site.policy.silent_seconds)
        ended = await list_ended_events(connection, site.clock() - max(span, MIN_ENDED_MS))
    # A label comes only from what we know ourselves: a probe may name targets that nobody has.
    known = {target.id for service in site.catalogue.services for target in service.targets}
    active = [(row, status) for row, status in probes if status != "revoked"]
    return Snapshot(
        open_events=opened,
        transitions=transitions,
        services=[service.id for service in site.catalogue.services],
        countries=sorted({row.country for row, _ in active if row.role == "vantage"}),
        present=[row for row in states_now(verdicts) if row.target in known],
        vantages=[(row.country, row.role, status) for row, status in active],
        owners=_owners(row for row, _ in active if row.role == "vantage"),
        ended=ended,
        tallies=tallies,
        reasons=REASONS,
        retests=None if site.retests_requested is None else site.retests_requested()[0],
        last_received=last,
        last_concluded=concluded,
    )


def _owners(rows: Iterable[VantageRow]) -> Mapping[str, int]:
    owners: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        owners[row.country].add(row.owner)
    return {place: len(who) for place, who in owners.items()}
