# SPDX-License-Identifier: Apache-2.0
"""Brings the measurements of a store of schema 0005 into batches.

Each chunk is a transaction of its own and continues after the last arrival number that is in a
batch, so a process that is killed, or several that open the store at once, do nothing twice.
Arrival numbers stay. Neighbours of one vantage, round and time of arrival share a batch.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import partitions
from monitor.store.batches import HEADER, LEVEL
from monitor.store.days import add_to_days, day_of
from monitor.store.merge import MeasurementRow, last_arrival, merge, set_last_arrival
from monitor.store.migrations.packed_lines import unpack
from monitor.store.tables import batch, measurement
from probes.wire.bounds import MAX_BATCH_BYTES, MAX_BATCH_LINES
from probes.wire.codec import encode_batch

LOG = logging.getLogger("reachwatch.store")
UNBATCHED = "unbatched"
"""Name of the table of schema 0005, until it is empty of what is not in batches."""
CHUNK = 5_000
"""Measurements of one transaction: a second or so, 20 MB of lines."""
PROGRESS_SECONDS = 5.0
_NEXT = sa.text(
    "SELECT arrival, round, started, vantage, target, interval_ms, id, received, line "
    f"FROM {UNBATCHED} WHERE arrival > :last ORDER BY arrival LIMIT :chunk"
)
_COLUMNS = tuple(column.name for column in measurement.columns)
_PLACE = _COLUMNS.index("place")
_ENDS = sa.text(f"SELECT min(arrival), max(arrival) FROM {UNBATCHED}")

Writing = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


async def bring_over(writing: Writing, place: str) -> None:
    """Make batches until none is left, and drop the old table. `writing` opens a transaction in
    which this process is the only one that migrates."""
    began = said = time.monotonic()
    done = 0
    while True:
        async with writing() as connection:
            if not await connection.run_sync(_has_unbatched):
                return
            last = await last_arrival(connection)
            rows = (await connection.execute(_NEXT, {"last": last, "chunk": CHUNK})).all()
            if not rows:
                await connection.execute(sa.text(f"DROP TABLE {UNBATCHED}"))
                if done:
                    seconds = time.monotonic() - began
                    LOG.info("%s: %d measurements are in batches, %.0f s", place, done, seconds)
                return
            first, newest = (await connection.execute(_ENDS)).one()
            await _store(connection, list(_parts(rows)), last)
        done += len(rows)
        if time.monotonic() - said >= PROGRESS_SECONDS:
            said = time.monotonic()
            share = (rows[-1].arrival - first) / max(1, newest - first)
            LOG.info("%s: putting measurements into batches, %.0f %%", place, 100 * share)


def _has_unbatched(connection: sa.Connection) -> bool:
    return sa.inspect(connection).has_table(UNBATCHED)


def _parts(rows: Sequence[Any]) -> Iterator[list[tuple[Any, bytes]]]:
    """Rows of one batch each, with their lines; numbers that were never used leave gaps."""
    part: list[tuple[Any, bytes]] = []
    size = 0
    for row in rows:
        line = _line(row)
        if part:
            first = part[0][0]
            full = (
                row.arrival - first.arrival >= MAX_BATCH_LINES
                or size + len(line) > MAX_BATCH_BYTES // 2
            )
            if full or _source(row) != _source(first):
                yield part
                part, size = [], 0
        part.append((row, line))
        size += len(line) + 1
    if part:
        yield part


def _source(row: Any) -> tuple[int, int, int]:
    return row.vantage, row.round, row.received


def _line(row: Any) -> bytes:
    """The line as sent; of a damaged one nothing, and whoever reads it quarantines it."""
    try:
        return unpack(bytes(row.line))
    except ValueError as error:
        LOG.warning("measurement %s is lost: %s", bytes(row.id).hex(), error)
        return b""


async def _store(
    connection: AsyncConnection, parts: Sequence[Sequence[tuple[Any, bytes]]], last: int
) -> None:
    """Insert batches and their measurements, which arrived after `last`."""
    batches: list[dict[str, object]] = []
    rows: list[MeasurementRow] = []
    for part in parts:
        first, newest = part[0][0], part[-1][0]
        lines = [b""] * (newest.arrival - first.arrival + 1)
        for row, line in part:
            lines[row.arrival - first.arrival] = line
            values = [getattr(row, name) for name in _COLUMNS if name != "place"]
            values.insert(_PLACE, row.arrival - first.arrival)
            rows.append(tuple(values))
        batches.append(
            {
                "first_arrival": first.arrival,
                "last_arrival": newest.arrival,
                "first_round": first.round,
                "received": first.received,
                "body": encode_batch(HEADER, lines, LEVEL),
                "vantage": first.vantage,
            }
        )
    rounds = Counter(row.round for part in parts for row, _ in part)
    if connection.dialect.name == "postgresql":
        days = set(map(day_of, rounds))
        oldest = max(days) - partitions.MOST_DAYS
        await partitions.make(connection, [day for day in days if day >= oldest])
    await connection.execute(sa.insert(batch), batches)
    await merge(connection, rows, last)
    await set_last_arrival(connection, parts[-1][-1][0].arrival)
    await add_to_days(connection, rounds)
