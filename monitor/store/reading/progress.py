# SPDX-License-Identifier: Apache-2.0
"""How the monitor itself is doing: what arrived lately, how far the detector has come, how large
the store is. Every query costs the same in a store of ten rows and of ten million.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from monitor.store import tables as t
from monitor.store.batches import FIRST_ARRIVAL
from monitor.store.bulk_insert import RECEIVED
from monitor.store.days import DAY_MS
from monitor.store.driver_reads import once
from monitor.store.engines import ReadTransaction
from monitor.store.shard import PATTERN
from monitor.store.statements import chunks, folded_arrivals
from probes.wire.measurement import LIVENESS, Role

MAX_ARRIVALS = 5_000
"""Newest measurements that rates and lags are computed from."""
LAST_ARRIVED = 200
# Every page asks these: they are made once.
_LAST_RECEIVED = sa.select(t.cursor.c.value).where(t.cursor.c.name == RECEIVED)
_LAST_FOLDED = sa.select(sa.func.max(t.detector_state.c.round))
_LAST_ROUNDS = (
    sa.select(t.measurement.c.round)
    .order_by(t.measurement.c.arrival.desc())
    .limit(LAST_ARRIVED)
    .subquery()
)
# Not a value: SQLite would plan a statement that compares with it anew each time.
_OF_DETECTOR = t.lease.c.name.like(sa.literal_column(f"'{PATTERN}'"))
_LEASES = sa.select(t.lease.c.name, t.lease.c.expires).where(_OF_DETECTOR)
_NEWEST = sa.select(
    _LAST_RECEIVED.scalar_subquery().label("received"),
    _LAST_FOLDED.scalar_subquery().label("folded"),
).subquery()
_COURSE = sa.select(_NEWEST.c.received, _NEWEST.c.folded, t.lease.c.name, t.lease.c.expires)
_COURSE = _COURSE.outerjoin_from(_NEWEST, t.lease, _OF_DETECTOR)
_NEWEST_ARRIVED = sa.select(sa.func.max(_LAST_ROUNDS.c.round))


class Arrival(msgspec.Struct, frozen=True):
    """When a measurement began and when it was stored, Unix milliseconds; its round and
    service."""

    started: int
    received: int
    round: int
    service: str


async def recent_arrivals(connection: ReadTransaction, since: int) -> Sequence[Arrival]:
    """The newest measurements that were received from `since` on, newest first, at most
    MAX_ARRIVALS."""
    m = t.measurement.c
    query = (
        sa.select(FIRST_ARRIVAL.label("first"), m.started, m.round, t.target.c.service)
        .join(t.target, t.target.c.number == m.target)
        .order_by(m.arrival.desc())
        .limit(MAX_ARRIVALS)
    )
    rows = (await connection.execute(query)).all()
    oldest = min((row.round for row in rows), default=0)
    received = await _received(connection, sorted({row.first for row in rows}), oldest)
    return [
        Arrival(row.started, received[row.first], row.round, row.service)
        for row in rows
        if received.get(row.first, 0) >= since
    ]


async def _received(
    connection: ReadTransaction, firsts: Sequence[int], oldest_round: int
) -> dict[int, int]:
    """When batches arrived, by first arrival number."""
    b = t.batch.c
    found: dict[int, int] = {}
    for some in chunks(firsts):
        query = sa.select(b.first_arrival, b.received).where(
            b.first_arrival.in_(some), b.first_round >= oldest_round // DAY_MS * DAY_MS
        )
        found |= dict((await connection.execute(query)).all())
    return found


async def last_received(connection: ReadTransaction) -> int | None:
    """When the newest measurement arrived; None when there is none."""
    value = await connection.scalar(_LAST_RECEIVED)
    return None if value is None else int(value)


async def received_and_folded(
    connection: ReadTransaction,
) -> tuple[int | None, int | None, dict[str, int]]:
    """`last_received`, `last_folded_round` and `detector_leases`, of which every page tells how far
    they are apart."""
    rows = (await once(connection, _COURSE)).all()
    received, folded, *_lease = rows[0]
    return received, folded, {name: expires for *_, name, expires in rows if name is not None}


async def probes_enrolled(connection: ReadTransaction) -> int:
    """How many probes have ever enrolled."""
    return int(await connection.scalar(sa.select(sa.func.count()).select_from(t.probe)) or 0)


async def newest_of_last_arrived(connection: ReadTransaction) -> int | None:
    """The newest round (Unix ms) among the measurements that arrived last; None when there are
    none. Some of them may be old: a probe sends what it kept, or old measurements are imported."""
    value = await connection.scalar(_NEWEST_ARRIVED)
    return None if value is None else int(value)


async def ingest_counters(connection: ReadTransaction) -> Sequence[tuple[str, str, int]]:
    """(name, reason, count) of every counter in the table `tally`."""
    columns = (t.tally.c.name, t.tally.c.reason)
    query = sa.select(*columns, t.tally.c.n).order_by(*columns)
    return [(name, reason, n) for name, reason, n in await connection.execute(query)]


async def list_services(connection: ReadTransaction) -> list[str]:
    """Every service of which a measurement was ever stored, sorted; without liveness."""
    query = sa.select(t.target.c.service).where(t.target.c.service != LIVENESS).distinct()
    return sorted((await connection.execute(query)).scalars())


async def targets_by_service(connection: ReadTransaction) -> dict[str, int]:
    """How many targets of each service were ever measured; without liveness."""
    service = t.target.c.service
    query = sa.select(service, sa.func.count()).where(service != LIVENESS).group_by(service)
    return dict((await connection.execute(query)).all())


async def list_origins(connection: ReadTransaction) -> list[tuple[str, str]]:
    """Every (country, source) from which a measurement was ever stored, sorted."""
    query = sa.select(t.vantage.c.country, t.vantage.c.source).distinct()
    return sorted((country, source) for country, source in await connection.execute(query))


async def sources_in(
    connection: ReadTransaction, country: str | None, asns: Sequence[int]
) -> frozenset[str]:
    """The sources of what was ever measured in a country or in networks, but for controls."""
    given: dict[str, Any] = {} if country is None else {"country": country}
    given |= {"asns": asns} if asns else {}
    return frozenset((await connection.execute(_sources_query(frozenset(given)), given)).scalars())


@functools.cache
def _sources_query(given: Collection[str]) -> sa.Select[Any]:
    """That of `sources_in` for the values that are given by name."""
    c = t.vantage.c
    query = sa.select(c.source).where(c.role != Role.CONTROL)
    if "country" in given:
        query = query.where(c.country == sa.bindparam("country"))
    if "asns" in given:
        query = query.where(c.asn.in_(sa.bindparam("asns", expanding=True)))
    return query.distinct()


async def newest_arrival(connection: ReadTransaction) -> int:
    """Number of the newest arrival: at most so many measurements were stored so far."""
    return int(await connection.scalar(sa.select(sa.func.max(t.measurement.c.arrival))) or 0)


async def folded_rounds(connection: ReadTransaction) -> Sequence[tuple[str, int]]:
    """(service, last round that the detector folded), by service."""
    columns = (t.detector_state.c.service, t.detector_state.c.round)
    query = sa.select(*columns).order_by(t.detector_state.c.service)
    return [(service, round) for service, round in await connection.execute(query)]


async def last_folded_round(connection: ReadTransaction) -> int | None:
    """The newest round that the detector has folded, of any service."""
    value = await connection.scalar(_LAST_FOLDED)
    return None if value is None else int(value)


async def count_unread(connection: ReadTransaction) -> int:
    """Stored measurements that the detector has not read yet."""
    return max(0, await newest_arrival(connection) - await folded_arrivals(connection))


async def detector_leases(connection: ReadTransaction) -> dict[str, int]:
    """When the lease of each detector ends or ended, Unix ms by its holder's clock, by name."""
    return dict((await connection.execute(_LEASES)).all())


async def store_bytes(connection: ReadTransaction) -> int:
    """Size of the whole store, including the free pages of a SQLite file."""
    if connection.dialect.name == "sqlite":
        pages = await connection.scalar(sa.text("SELECT page_count FROM pragma_page_count"))
        page = await connection.scalar(sa.text("SELECT page_size FROM pragma_page_size"))
        return int(pages or 0) * int(page or 0)
    return int(await connection.scalar(sa.text("SELECT pg_database_size(current_database())")) or 0)
