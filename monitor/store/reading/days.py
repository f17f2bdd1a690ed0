# SPDX-License-Identifier: Apache-2.0
"""Whole days of measurements with their lines and verdicts, as they are archived."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from monitor.detection.model import Verdict
from monitor.store import tables as t
from monitor.store.batches import FIRST_ARRIVAL, read_lines
from monitor.store.days import DAY_MS, PRUNED
from monitor.store.engines import ReadTransaction
from monitor.store.statements import cursor_value
from monitor.store.verdicts import read_newest

if TYPE_CHECKING:
    from monitor.store.database import Database


class DayMeasurement(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement as it is archived; times are Unix milliseconds."""

    arrival: int
    id: str
    probe: str
    owner: str
    role: str
    enrolled: int
    source: str
    received: int
    target: str
    service: str
    country: str
    asn: int
    round: int
    started: int
    interval_ms: int
    line: bytes
    """As sent."""
    verdict: Verdict | None = None


class MissingLinesError(Exception):
    """Measurements whose batch is not there."""


async def list_days(connection: ReadTransaction) -> Sequence[tuple[int, int]]:
    """(day, measurements) of every day of which there are any, oldest first."""
    d = t.stored_day.c
    query = sa.select(d.day, d.measurements).order_by(d.day)
    return [(day, n) for day, n in await connection.execute(query)]


async def dropped_before(connection: ReadTransaction) -> int:
    """The first round that was not dropped; 0 when none was."""
    return await cursor_value(connection, PRUNED)


async def stream_day(
    database: Database, day: int
) -> AsyncGenerator[Sequence[DayMeasurement], None]:
    """All measurements of a day, a batch at a time, round after round. Each round is a transaction
    of its own. Raises StoreUnavailableError, and MissingLinesError."""
    m = t.measurement.c
    every = m.target.in_(sa.select(t.target.c.number))
    rounds = (
        sa.select(m.round)
        .where(every, m.round >= day * DAY_MS, m.round < (day + 1) * DAY_MS)
        .distinct()
        .order_by(m.round)
    )
    async with database.reading() as connection:
        found = (await connection.execute(rounds)).scalars().all()
    for round in found:
        async with database.reading() as connection:
            async for some in _stream_round(connection, round):
                yield some


async def _stream_round(
    connection: ReadTransaction, round: int
) -> AsyncGenerator[Sequence[DayMeasurement], None]:
    m, v, target = t.measurement.c, t.vantage.c, t.target.c
    query = (
        sa.select(
            *(FIRST_ARRIVAL.label("first"), m.arrival, m.id, m.started, m.interval_ms),
            *(v.probe, v.owner, v.role, v.enrolled, v.source, v.country, v.asn),
            *(target.id.label("target"), target.service),
        )
        .select_from(t.measurement)
        .join(t.vantage, v.number == m.vantage)
        .join(t.target, target.number == m.target)
        .where(m.target.in_(sa.select(target.number)), m.round == round)
    )
    rows = {row.arrival: row for row in await connection.execute(query)}
    said: dict[int, Verdict] = {}
    async for _, _, judged in read_newest(connection, None, round, round + 1):
        said |= {arrival: verdict for arrival, _, verdict in judged.entries()}
    left = set(rows)
    places = [(row.first, row.arrival) for row in rows.values()]
    async for batches in read_lines(connection, places, (round, round)):
        left.difference_update(arrival for some in batches for arrival, _ in some.lines)
        yield [
            DayMeasurement(
                arrival=arrival,
                id=row.id,
                probe=row.probe,
                owner=row.owner,
                role=row.role,
                enrolled=row.enrolled,
                source=row.source,
                received=some.received,
                target=row.target,
                service=row.service,
                country=row.country,
                asn=row.asn,
                round=round,
                started=row.started,
                interval_ms=row.interval_ms,
                line=line,
                verdict=said.get(arrival),
            )
            for some in batches
            for arrival, line in some.lines
            for row in (rows[arrival],)
        ]
    if left:
        raise MissingLinesError(f"{len(left)} measurements of round {round} have no lines")
