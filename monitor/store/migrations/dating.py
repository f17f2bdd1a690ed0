# SPDX-License-Identifier: Apache-2.0
"""Brings the measurements of a store of schema 0006 to 0010 into their days.

Each chunk is a transaction of its own and continues after the last arrival number that was brought
over, so a process that is killed, or several that open the store at once, do nothing twice. Arrival
numbers stay.
"""

from __future__ import annotations

import logging
import time

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import partitions
from monitor.store.days import DAY_MS
from monitor.store.migrations.batching import PROGRESS_SECONDS, Writing

LOG = logging.getLogger("reachwatch.store")
UNDATED = "undated_measurement"
UNDATED_BATCH = "undated_batch"
"""On PostgreSQL alone: SQLite's table is left as it is."""
CHUNK = 20_000
"""Measurements of one transaction: some tenths of a second."""
BATCHES = 500
_NTH = sa.text(
    f"SELECT arrival FROM {UNDATED} WHERE arrival > :last ORDER BY arrival LIMIT 1 OFFSET :chunk"
)
_MOVE = (
    "INSERT INTO measurement (arrival, round, started, vantage, target, interval_ms, place, id) "
    "SELECT m.arrival, m.round, m.started, m.vantage, m.target, m.interval_ms, "
    "m.arrival - (SELECT max(b.first_arrival) FROM {batch} b WHERE b.first_arrival <= m.arrival), "
    f"m.id FROM {UNDATED} m WHERE m.arrival > :last AND m.arrival <= :until"
)
_NEWEST_ROUND = (
    f"(SELECT max(m.round) FROM {UNDATED} m "
    "WHERE m.arrival >= {b}.first_arrival AND m.arrival <= {b}.last_arrival)"
)
_NTH_BATCH = sa.text(
    f"SELECT first_arrival FROM {UNDATED_BATCH} WHERE first_arrival > :last "
    "ORDER BY first_arrival LIMIT 1 OFFSET :chunk"
)
# A batch with measurements of several days is of the newest of them.
_ROUND_OF_DAY = (
    f"CASE WHEN newest / {DAY_MS} > first_round / {DAY_MS} THEN newest ELSE first_round END"
)
_MOVE_BATCHES = sa.text(
    "INSERT INTO batch (first_arrival, last_arrival, first_round, received, body, vantage) "
    f"SELECT first_arrival, last_arrival, {_ROUND_OF_DAY}, received, body, vantage FROM ("
    f"SELECT b.*, {_NEWEST_ROUND.format(b='b')} AS newest FROM {UNDATED_BATCH} b "
    "WHERE b.first_arrival > :last AND b.first_arrival <= :until) AS moved"
)
_CORRECT_BATCHES = sa.text(
    f"UPDATE batch SET first_round = {_NEWEST_ROUND.format(b='batch')} "
    "WHERE first_arrival > :last AND first_arrival <= :until AND first_round / "
    f"{DAY_MS} < {_NEWEST_ROUND.format(b='batch')} / {DAY_MS}"
)
_DAYS = sa.text(f"SELECT DISTINCT round / {DAY_MS} FROM {UNDATED}")
_COUNT_DAYS = sa.text(
    "INSERT INTO stored_day (day, measurements) "
    f"SELECT round / {DAY_MS}, count(*) FROM measurement GROUP BY 1"
)
_END = 2**62


async def bring_over(writing: Writing, place: str) -> None:
    """Move rows until none is left, and drop the old tables. `writing` opens a transaction in which
    this process is the only one that migrates."""
    began = said = time.monotonic()
    done = 0
    while True:
        async with writing() as connection:
            if not await connection.run_sync(lambda c: sa.inspect(c).has_table(UNDATED)):
                return
            on_postgresql = connection.dialect.name == "postgresql"
            if not done and on_postgresql:
                days = sorted((await connection.execute(_DAYS)).scalars())
                if days:
                    oldest = days[-1] - partitions.MOST_DAYS
                    await partitions.make(connection, [day for day in days if day >= oldest])
            last = await _newest(connection, "measurement", "arrival")
            until = await _nth(connection, _NTH, last, CHUNK)
            source = UNDATED_BATCH if on_postgresql else "batch"
            move = sa.text(_MOVE.format(batch=source))
            moved = (await connection.execute(move, {"last": last, "until": until})).rowcount
            if not on_postgresql:
                await connection.execute(_CORRECT_BATCHES, {"last": last, "until": until})
            if not moved:
                if on_postgresql and await _move_batches(connection):
                    continue
                await connection.execute(_COUNT_DAYS)
                await connection.execute(sa.text(f"DROP TABLE {UNDATED}"))
                if on_postgresql:
                    await connection.execute(sa.text(f"DROP TABLE {UNDATED_BATCH}"))
                if done:
                    seconds = time.monotonic() - began
                    LOG.info("%s: %d measurements are in their days, %.0f s", place, done, seconds)
                return
        done += moved
        if time.monotonic() - said >= PROGRESS_SECONDS:
            said = time.monotonic()
            LOG.info("%s: %d measurements were put into their days", place, done)


async def _move_batches(connection: AsyncConnection) -> bool:
    """Move some batches; False when none is left."""
    last = await _newest(connection, "batch", "first_arrival")
    until = await _nth(connection, _NTH_BATCH, last, BATCHES)
    moved = await connection.execute(_MOVE_BATCHES, {"last": last, "until": until})
    return moved.rowcount > 0


async def _newest(connection: AsyncConnection, table: str, column: str) -> int:
    return int(await connection.scalar(sa.text(f"SELECT max({column}) FROM {table}")) or 0)


async def _nth(connection: AsyncConnection, query: sa.TextClause, last: int, chunk: int) -> int:
    """The number up to which the next chunk goes."""
    found = await connection.scalar(query, {"last": last, "chunk": chunk - 1})
    return _END if found is None else int(found)
