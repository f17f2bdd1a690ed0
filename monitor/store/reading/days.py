# SPDX-License-Identifier: Apache-2.0
"""Whole days of measurements with their lines and verdicts, as they are archived."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from monitor.detection.model import Verdict
from monitor.store import tables as t
from monitor.store.batches import FIRST_ARRIVAL, READ_AT_ONCE, read_lines
from monitor.store.days import DAY_MS, PRUNED
from monitor.store.engines import ReadTransaction
from monitor.store.statements import chunks, cursor_value
from monitor.store.verdicts import read_newest

if TYPE_CHECKING:
    from monitor.store.database import Database

_KNOWN = t.measurement.c.target.in_(sa.select(t.target.c.number))
"""Says nothing, but leads to the index of targets and rounds."""


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


async def dropped_since(connection: ReadTransaction, since: int | None) -> int:
    """`dropped_before` for a list of the rounds since a time (None: of all); 0 when it lacks
    none of them."""
    before = await dropped_before(connection)
    return before if since is None or since < before else 0


async def stream_day(
    database: Database, day: int
) -> AsyncGenerator[Sequence[DayMeasurement], None]:
    """All measurements of a day, some batches at a time, round after round. Each part is a
    transaction of its own, which has ended when the caller gets it: what is done with a part may
    take long. Raises StoreUnavailableError, and MissingLinesError."""
    m = t.measurement.c
    rounds = (
        sa.select(m.round)
        .where(_KNOWN, m.round >= day * DAY_MS, m.round < (day + 1) * DAY_MS)
        .distinct()
        .order_by(m.round)
    )
    async with database.reading() as connection:
        found = (await connection.execute(rounds)).scalars().all()
    for round in found:
        async with database.reading() as connection:
            batches = await _batches(connection, round)
            said = await _verdicts(connection, round)
        for firsts in chunks(sorted(batches), READ_AT_ONCE):
            places = [(first, arrival) for first in firsts for arrival in batches[first]]
            async with database.reading() as connection:
                part = await _read_part(connection, round, places, said)
            yield part


async def _batches(connection: ReadTransaction, round: int) -> Mapping[int, Sequence[int]]:
    """Arrival numbers of a round's measurements by the first arrival of their batch."""
    m = t.measurement.c
    query = sa.select(FIRST_ARRIVAL, m.arrival).where(_KNOWN, m.round == round)
    found: defaultdict[int, list[int]] = defaultdict(list)
    for first, arrival in await connection.execute(query):
        found[first].append(arrival)
    return found


async def _verdicts(connection: ReadTransaction, round: int) -> Mapping[int, Verdict]:
    said: dict[int, Verdict] = {}
    async for _, _, judged in read_newest(connection, None, round, round + 1):
        said |= {arrival: verdict for arrival, _, verdict in judged.entries()}
    return said


async def _read_part(
    connection: ReadTransaction,
    round: int,
    places: Sequence[tuple[int, int]],
    said: Mapping[int, Verdict],
) -> Sequence[DayMeasurement]:
    """The measurements of a round at these (first arrival of the batch, arrival)."""
    m, v, target = t.measurement.c, t.vantage.c, t.target.c
    arrivals = [arrival for _, arrival in places]
    query = (
        sa.select(
            *(m.arrival, m.id, m.started, m.interval_ms),
            *(v.probe, v.owner, v.role, v.enrolled, v.source, v.country, v.asn),
            *(target.id.label("target"), target.service),
        )
        .select_from(t.measurement)
        .join(t.vantage, v.number == m.vantage)
        .join(t.target, target.number == m.target)
        .where(m.round == round, m.arrival.between(min(arrivals), max(arrivals)))
    )
    rows = {row.arrival: row for row in await connection.execute(query)}
    found = [
        DayMeasurement(
            **row._mapping,
            received=some.received,
            round=round,
            line=line,
            verdict=said.get(arrival),
        )
        async for batches in read_lines(connection, places, (round, round))
        for some in batches
        for arrival, line in some.lines
        if (row := rows.get(arrival)) is not None
    ]
    if missing := len(places) - len(found):
        raise MissingLinesError(f"{missing} measurements of round {round} have no lines")
    return found
