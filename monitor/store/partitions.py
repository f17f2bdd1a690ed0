# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL: partitions of `batch` and `measurement`, one for each day (UTC) of rounds.

A day is dropped with its partition, in the time that it takes to delete a file. Partitions are made
a day ahead. What belongs to no partition (an import of years, evidence of events whose day was
dropped) is in the default one, and is deleted row by row.
"""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.days import date_of, day_from, day_of
from monitor.store.engines import Engines, writing
from monitor.store.records import AdmittedBatch, StoreUnavailableError

LOG = logging.getLogger("reachwatch.store")
KEYS = {"measurement": "round", "batch": "first_round"}
"""Partitioned tables, in the order in which collectors write to them, and the column that says the
day. Locks are taken in the same order."""
MOST_DAYS = 100
"""Older days get no partition of their own: no probe sends anything that old."""
AGAIN_SECONDS = 60.0
"""After a partition could not be made at once, because somebody read from the table."""
LOCK = "500ms"
"""Readers wait behind one who waits for the lock on a whole table: not longer than this. Half of
PostgreSQL's deadlock_timeout (1 s by default), so that this side gives up before a reader is told
of a deadlock."""
PARTITION_LOCK = 0x5245_4143_4804
"""Key of PostgreSQL's advisory lock around making and dropping partitions ("REACH", 4)."""
_PARTITIONS = sa.text(
    "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid "
    "WHERE i.inhparent = to_regclass('measurement')"
)
_IN_DEFAULT = "SELECT 1 FROM {table}_default WHERE {key} >= :begin AND {key} < :end LIMIT 1"


def name_of(table: str, day: int) -> str:
    """The partition of a day."""
    return f"{table}_{date_of(day):%Y%m%d}"


async def present_days(connection: AsyncConnection) -> list[int]:
    """The days that have a partition, oldest first."""
    names = (await connection.execute(_PARTITIONS)).scalars()
    dates = (name.rpartition("_")[2] for name in names)
    return sorted(
        day_from(dt.datetime.strptime(date, "%Y%m%d").date())  # noqa: DTZ007 - a date alone
        for date in dates
        if date.isdigit()
    )


async def make(connection: AsyncConnection, days: Iterable[int]) -> None:
    """Make the partitions of days that have none. Days of which there is something in the default
    partition get none."""
    await lock(connection)
    for day in sorted(set(days).difference(await present_days(connection))):
        period = {"begin": day * 86_400_000, "end": (day + 1) * 86_400_000}
        there = [
            (await connection.execute(sa.text(_IN_DEFAULT.format(table=t, key=k)), period)).first()
            for t, k in KEYS.items()
        ]
        if any(there):
            continue
        for table in KEYS:
            name = name_of(table, day)
            await connection.execute(
                sa.text(
                    f"CREATE TABLE {name} PARTITION OF {table} "
                    f"FOR VALUES FROM ({period['begin']}) TO ({period['end']})"
                )
            )
        name = name_of("measurement", day)
        await connection.execute(sa.text(f"CREATE UNIQUE INDEX uq_{name}_id ON {name} (id)"))


async def drop(connection: AsyncConnection, day: int) -> None:
    """Drop the partitions of a day; the caller holds the lock."""
    await connection.execute(sa.text(f"LOCK TABLE {', '.join(KEYS)} IN ACCESS EXCLUSIVE MODE"))
    for table in KEYS:
        await connection.execute(sa.text(f"DROP TABLE {name_of(table, day)}"))


async def lock(connection: AsyncConnection) -> None:
    """Wait until nobody else makes or drops partitions; wait for readers no longer than LOCK."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(PARTITION_LOCK)))
    await connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK}'"))


class Partitions:
    """Makes partitions before they are needed."""

    def __init__(self) -> None:
        self._ready: set[int] = set()
        self._not_before = 0.0

    async def prepare(self, engines: Engines, batches: Sequence[AdmittedBatch]) -> None:
        """Make the partitions that these batches need, and those of the day after they were
        received. Without one the default partition serves."""
        wanted: set[int] = set()
        for each in batches:
            today = day_of(each.received)
            wanted |= {today, today + 1}
            days = {day_of(one.round) for _, one in each.entries}
            wanted.update(day for day in days if today - MOST_DAYS <= day <= today + 1)
        if wanted <= self._ready or time.monotonic() < self._not_before:
            return
        try:
            async with writing(engines) as connection:
                await make(connection, wanted)
            self._ready |= wanted
        except StoreUnavailableError as error:
            self._not_before = time.monotonic() + AGAIN_SECONDS
            LOG.info("the partition of a day could not be created yet: %s", error)
