# SPDX-License-Identifier: Apache-2.0
"""`reachwatch db prune`: drops whole days (UTC, of rounds) of measurements with their verdicts.

Never dropped are events, cells, journal entries, measurements that an event names as a witness, and
frames that show how an event was decided: an event keeps its evidence. From the first moment on,
measurements of the days that go are not stored any more, so that what a probe sends again is not
stored twice.

PostgreSQL drops the partitions of a day. SQLite deletes rows that are neighbours in every index,
and then moves pages from the end of the file into the gap, so that the file shrinks. Nobody can
write meanwhile, so it does so in transactions of some 50 ms, and rests three times as long after
each.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import bulk_insert, followed, partitions, statements
from monitor.store.conclusions import event_from
from monitor.store.days import DAY_MS, PRUNED, day_of, has_id
from monitor.store.engines import Engines, connect, reading, translated_errors, writing
from monitor.store.evidence import thin
from monitor.store.records import StoreUnavailableError
from monitor.store.rollup import roll_up
from monitor.store.schema import upgrade_schema
from monitor.store.tables import (
    batch,
    cursor,
    event,
    measurement,
    revision,
    stored_day,
    target,
    verdict,
)

HOLD_SECONDS = 0.05
"""How long a transaction should take, so that collectors hardly wait."""
REST = 3.0
"""After a transaction on SQLite nothing is written for so many times what it took."""
MEASUREMENTS = 16_000
"""How many the first transaction deletes, by whole batches. Ids of a day are in random order, so
that each transaction writes most pages of their index, however many it deletes: few large ones
would take half the processor time in all."""
ROWS = 2_500
"""The same of measurements in batches of a later day, which are looked for one by one."""
PAGES = 300
"""The same of pages of SQLite that are given back."""
FRAMES = 1_000
"""The same of rows of `verdict`."""
TRIES = 15
PAUSE_SECONDS = 3.0
"""How often a day is tried on PostgreSQL, and how far apart: a reader of the table may hold it for
a while."""
PRAGMAS = {
    # Losing the last deletions with the power loses nothing.
    "synchronous": "NORMAL",
    # Some builds overwrite what is deleted, which costs as much as writing it.
    "secure_delete": "FAST",
    # The pages that one transaction changes: 128 MiB.
    "cache_size": "-131072",
}
_CLOCK, _ASKED = "retention_clock", "retention_asked"
"""Names in `cursor`: the last answer of `retention_clock`, and by which clock it was asked for."""
_set_cursor = statements.upsert(cursor)
Archive = Callable[[int], Awaitable[None]]
"""Archives a day; raises where it cannot."""


class Pruned(msgspec.Struct, frozen=True):
    """The outcome of one `prune`."""

    measurements: int
    witnesses_kept: int
    """Old measurements that stay because an event names them."""
    days_summed_up: int = 0
    """Days whose hourly counts became one."""


def _nothing(_day: int) -> None: ...


class _Slices:
    """Transactions of a size at which each takes some HOLD_SECONDS: at least a quarter and at most
    five times of what is first tried."""

    def __init__(self, first: int) -> None:
        self.size = first
        self._least, self._most = max(1, first // 4), 5 * first

    async def rest(self, sqlite: bool, took: float) -> None:
        """After a transaction that took so many seconds: choose the next one's size, and let others
        write. Who waits for SQLite's lock asks for it from time to time."""
        wanted = int(self.size * min(2.0, max(0.5, HOLD_SECONDS / max(took, 1e-6))))
        self.size = min(self._most, max(self._least, wanted))
        if sqlite:
            await asyncio.sleep(REST * took)

    @contextlib.asynccontextmanager
    async def transaction(self, engines: Engines) -> AsyncIterator[AsyncConnection]:
        """One transaction that writes, and the rest after it."""
        async with writing(engines) as connection:
            began = time.perf_counter()
            yield connection
        await self.rest(engines.sqlite, time.perf_counter() - began)


async def retention_clock(url: str, now: int) -> int:
    """The time (Unix ms) from which the age of days is counted: `now`, unless that may be a clock
    that is ahead, which must not drop what is young, nor what arrives until then.

    It is no later than the end of the newest day that was measured, or than a day after the last
    answer: a fleet that has stopped grows old as well, by a day with each daily `prune`. 0 when
    nothing was ever measured. Raises as `open_database` does.
    """
    async with connect(url) as engines:
        await upgrade_schema(engines)
        async with writing(engines) as connection:
            newest = await connection.scalar(sa.select(sa.func.max(stored_day.c.day)))
            measured = 0 if newest is None else (int(newest) + 1) * DAY_MS
            last = await statements.cursor_value(connection, _CLOCK)
            since = now - await statements.cursor_value(connection, _ASKED)
            passed = min(DAY_MS, max(0, since)) if last else 0
            answer = min(now, max(measured, last + passed))
            values = {_ASKED: now, _CLOCK: answer}
            rows = [{"name": name, "value": value} for name, value in values.items()]
            await connection.execute(_set_cursor, rows)
    return answer


async def days_to_drop(url: str, before_ms: int) -> list[tuple[int, int]]:
    """The days that `prune` would drop and that no earlier run was asked to drop, each with its
    number of measurements. Raises as `open_database` does."""
    async with connect(url) as engines, reading(engines) as connection:
        asked = day_of(await statements.cursor_value(connection, PRUNED))
        query = (
            sa.select(stored_day.c.day, stored_day.c.measurements)
            .where(stored_day.c.day >= asked, stored_day.c.day < day_of(before_ms))
            .order_by(stored_day.c.day)
        )
        return [(day, measurements) for day, measurements in await connection.execute(query)]


async def prune(
    url: str,
    before_ms: int,
    archive: Archive | None = None,
    progress: Callable[[int], None] = _nothing,
    hours_before_ms: int | None = None,
) -> Pruned:
    """Drop the days that ended before a time, oldest first. May run beside everything else.

    With `archive`, each day is archived before it is dropped; what `archive` raises ends the work.
    Hourly counts of dropped days that ended before `hours_before_ms` are summed up to days.
    `progress` gets each day before its turn. Raises as `open_database` does.
    """
    async with connect(url, pragmas=PRAGMAS) as engines:
        await upgrade_schema(engines)
        before = before_ms - before_ms % DAY_MS
        async with writing(engines) as connection:
            if not engines.sqlite:  # whoever adds now has not seen the new limit
                await bulk_insert.wait_for_turn(connection)
            mark = max(before, await statements.cursor_value(connection, PRUNED))
            await connection.execute(_set_cursor, {"name": PRUNED, "value": mark})
            await followed.forget_before(connection, mark)
        old = sa.select(stored_day.c.day).where(stored_day.c.day < day_of(before))
        async with reading(engines) as connection:
            days = (await connection.execute(old.order_by(stored_day.c.day))).scalars().all()
        gone = kept = 0
        for day in days:
            progress(day)
            if archive is not None:
                await archive(day)
            went, stayed = await _drop_day(engines, day)
            gone, kept = gone + went, kept + stayed
        rolled = 0 if hours_before_ms is None else await roll_up(engines, hours_before_ms)
        if engines.sqlite:
            await _give_back(engines, at_end=True)
        return Pruned(gone, kept, rolled)


async def _drop_day(engines: Engines, day: int) -> tuple[int, int]:
    """Drop a day; return how many measurements were deleted and kept."""
    witnesses = _Witnesses(day)
    if not engines.sqlite:
        await _drop_partitions(engines, day, witnesses)
    begin, end = day * DAY_MS, (day + 1) * DAY_MS
    query = (
        sa.select(batch.c.first_arrival, batch.c.last_arrival)
        .where(batch.c.first_round >= begin, batch.c.first_round < end)
        .order_by(batch.c.first_arrival)
    )
    async with reading(engines) as connection:
        batches = [(first, last) for first, last in await connection.execute(query)]
    slices = _Slices(MEASUREMENTS)
    for some in _parts(batches, slices):
        async with slices.transaction(engines) as connection:
            await _drop_batches(connection, some, end, await witnesses.now(connection))
        if engines.sqlite:
            # At once, so that the file shrinks while the day goes.
            await _give_back(engines)
    slices, left = _Slices(ROWS), 1
    while left:
        async with slices.transaction(engines) as connection:
            kept = await witnesses.now(connection)
            left = await _drop_rows(connection, begin, end, kept, slices.size)
    slices, left = _Slices(FRAMES), 1
    while left:
        async with slices.transaction(engines) as connection:
            left = await _drop_verdicts(connection, begin, end, slices.size)
    async with writing(engines) as connection:
        services = await connection.execute(sa.select(target.c.service).distinct())
        for service in services.scalars().all():
            await thin(connection, service, begin, end, daily=False)
        mine = _of_rounds(begin, end)
        count = sa.select(sa.func.count()).select_from(measurement).where(*mine)
        left = int(await connection.scalar(count) or 0)
        is_day = stored_day.c.day == day
        there = await connection.scalar(sa.select(stored_day.c.measurements).where(is_day))
        await connection.execute(
            sa.update(stored_day).where(is_day).values(measurements=left)
            if left
            else sa.delete(stored_day).where(is_day)
        )
    return int(there or 0) - left, left


def _parts(batches: Iterable[tuple[int, int]], slices: _Slices) -> Iterator[list[tuple[int, int]]]:
    """Batches (first and last arrival number) of at most `slices.size` measurements together, or
    one."""
    part: list[tuple[int, int]] = []
    count = 0
    for first, last in batches:
        if part and count + last - first >= slices.size:
            yield part
            part, count = [], 0
        part.append((first, last))
        count += last - first + 1
    if part:
        yield part


def _of_rounds(begin: int, end: int) -> tuple[sa.ColumnElement[bool], ...]:
    """Measurements of some rounds, by seeks to each target."""
    return (
        measurement.c.target.in_(sa.select(target.c.number)),
        measurement.c.round >= begin,
        measurement.c.round < end,
    )


async def _drop_batches(
    connection: AsyncConnection, batches: Sequence[tuple[int, int]], end: int, kept: Sequence[int]
) -> None:
    """Delete batches and their measurements of rounds before `end`, except some. The measurements
    of a batch are neighbours: nothing is looked for."""
    delete = sa.text(
        "DELETE FROM measurement WHERE arrival >= :first AND arrival <= :last AND round < :end"
    )
    inside = [(first, last) for first, last in batches if any(first <= k <= last for k in kept)]
    whole = [each for each in batches if each not in inside]
    if whole:
        await connection.execute(delete, [{"first": f, "last": n, "end": end} for f, n in whole])
    for some in statements.chunks([first for first, _ in whole]):
        await connection.execute(
            sa.delete(batch).where(batch.c.first_arrival.in_(some), batch.c.first_round < end)
        )
    for first, last in inside:
        await connection.execute(
            sa.delete(measurement).where(
                measurement.c.arrival.between(first, last),
                measurement.c.round < end,
                measurement.c.arrival.not_in(kept),
            )
        )


async def _drop_rows(
    connection: AsyncConnection, begin: int, end: int, kept: Sequence[int], most: int
) -> int:
    """Delete some measurements that are left, except some: those in batches of a later day. Returns
    how many."""
    query = sa.select(measurement.c.arrival).where(*_of_rounds(begin, end)).limit(most + len(kept))
    left = set((await connection.execute(query)).scalars()).difference(kept)
    for some in statements.chunks(sorted(left)):
        await connection.execute(
            sa.delete(measurement).where(
                measurement.c.arrival.in_(some),
                measurement.c.round >= begin,
                measurement.c.round < end,
            )
        )
    return len(left)


async def _drop_partitions(engines: Engines, day: int, witnesses: _Witnesses) -> None:
    """Drop the partitions of a day, if it has any, and put evidence into the default ones."""
    for left in reversed(range(TRIES)):
        try:
            async with writing(engines) as connection:
                await partitions.lock(connection)
                if day not in await partitions.present_days(connection):
                    return
                kept = await witnesses.now(connection)
                mine = [
                    measurement.c.round >= day * DAY_MS,
                    measurement.c.round < (day + 1) * DAY_MS,
                    measurement.c.arrival.in_(kept),
                ]
                rows = (await connection.execute(sa.select(measurement).where(*mine))).all()
                firsts = [row.arrival - row.place for row in rows]
                same = (
                    batch.c.first_arrival.in_(firsts),
                    batch.c.first_round >= day * DAY_MS,
                    batch.c.first_round < (day + 1) * DAY_MS,
                )
                bodies = (await connection.execute(sa.select(batch).where(*same))).all()
                await partitions.drop(connection, day)
                for table, evidence in ((measurement, rows), (batch, bodies)):
                    if evidence:
                        values = [dict(row._mapping) for row in evidence]
                        await connection.execute(sa.insert(table), values)
            return
        except StoreUnavailableError:
            if not left:
                raise
            # Whoever waited behind this attempt gets a turn.
            await asyncio.sleep(PAUSE_SECONDS)


class _Witnesses:
    """Which measurements of a day events name. They are asked for again whenever the detector has
    concluded something: it may have named another one."""

    def __init__(self, day: int) -> None:
        self._day = day
        self._revision: object = None
        self._ids: list[str] = []
        self._found: list[int] = []

    async def now(self, connection: AsyncConnection) -> list[int]:
        """Their arrival numbers."""
        number = sa.select(sa.func.count(), sa.func.sum(revision.c.number)).select_from(revision)
        newest = tuple((await connection.execute(number)).one())
        if self._revision == newest:
            return self._found
        bodies = (await connection.execute(sa.select(event.c.body))).scalars()
        ids = sorted({id for body in bodies for id in event_from(bytes(body)).witnesses})
        if ids != self._ids:
            self._found = []
            for some in statements.chunks(ids):
                query = sa.select(measurement.c.arrival).where(has_id(some, self._day))
                self._found += (await connection.execute(query)).scalars()
        self._revision, self._ids = newest, ids
        return self._found


async def _drop_verdicts(connection: AsyncConnection, begin: int, end: int, most: int) -> int:
    """Delete verdicts of some rounds, but those of rounds of which a measurement was kept. Returns
    how many."""
    kept = sa.select(target.c.service, measurement.c.round).where(
        target.c.number == measurement.c.target, *_of_rounds(begin, end)
    )
    v = verdict.c
    key = sa.tuple_(v.service, v.round)
    mine = (v.round >= begin, v.round < end, key.not_in(kept))
    some = sa.select(v.service, v.round).where(*mine).limit(most)
    deleted = await connection.execute(sa.delete(verdict).where(key.in_(some)))
    return deleted.rowcount


async def _give_back(engines: Engines, *, at_end: bool = False) -> None:
    """Give free pages of the file back, some at a time."""
    async with translated_errors(engines.place), engines.write.connect() as connection:
        # AUTOCOMMIT: outside a transaction, so that each step is one.
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None

        async def pragma(text: str) -> int:
            done = await raw.execute(text)
            rows = await done.fetchall()
            await done.close()
            # `incremental_vacuum` gives rows without columns: in some versions of Python, one.
            return int(rows[0][0]) if rows and rows[0] else 0

        left, before, slices = await pragma("PRAGMA freelist_count"), 0, _Slices(PAGES)
        while left and left != before:
            began = time.perf_counter()
            await pragma(f"PRAGMA incremental_vacuum({slices.size})")
            await slices.rest(True, time.perf_counter() - began)
            before, left = left, await pragma("PRAGMA freelist_count")
        if at_end:
            await pragma("PRAGMA wal_checkpoint(TRUNCATE)")
