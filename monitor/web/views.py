"""What several pages and API lists ask of the store, already put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monitor.collector.admission import REASONS
from monitor.detection.model import Event
from monitor.detection.present import Present, present
from monitor.metrics.exposition import Snapshot
from monitor.store import reading
from monitor.store.reading import Filter
from monitor.web.site import Site

RECENT_ROUNDS = 4
"""How many intervals back a verdict still counts as the present."""


def recent_since(site: Site) -> int:
    """Rounds from here on (Unix ms) make up the present."""
    span = max(RECENT_ROUNDS * site.interval_seconds * 1000, site.policy.ms(900))
    return site.clock() - span


def vantage_status(site: Site, revoked: int | None, last_seen: int | None) -> str:
    """`online`, `silent` (not heard for the policy's time) or `revoked`."""
    if revoked is not None:
        return "revoked"
    silent = site.policy.ms(site.policy.silent_seconds)
    heard = last_seen is not None and site.clock() - last_seen <= silent
    return "online" if heard else "silent"


async def presents(site: Site, chosen: Filter) -> Sequence[Present]:
    """Present states of every target in every network."""
    async with site.engine.connect() as connection:
        sights = await reading.sights(connection, recent_since(site), chosen.service)
    return [
        row
        for row in present(sights)
        if chosen.country in (None, row.country)
        and chosen.asn in (None, row.asn)
        and chosen.target in (None, row.target)
    ]


async def open_events_by_place(site: Site) -> Mapping[tuple[str, str], Event]:
    """Open events by (service, country)."""
    async with site.engine.connect() as connection:
        rows = await reading.events(connection, state="open", limit=1000)
    return {(row.service, row.country): row for row in rows}


async def snapshot(site: Site) -> Snapshot:
    """Everything for one scrape."""
    async with site.engine.connect() as connection:
        opened = await reading.events(connection, state="open", limit=1000)
        moved = await reading.transitions(connection)
        tallies = await reading.tallies(connection)
        probes = await reading.vantages(connection)
        sights = await reading.sights(connection, recent_since(site))
        last = await reading.last_received(connection)
    living = [row for row in probes if row.revoked is None]
    return Snapshot(
        open_events=opened,
        transitions=moved,
        services=[service.id for service in site.catalogue.services],
        countries=sorted({row.country for row in living if row.role == "vantage"}),
        present=present(sights),
        vantages=[
            (row.country, row.role, vantage_status(site, row.revoked, row.last_seen))
            for row in living
        ],
        tallies=tallies,
        reasons=REASONS,
        last_received=last,
    )
