"""A statement of SQLite enters the thread of its connection once."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import sqlalchemy as sa

from monitor.store import sqlite_engine
from monitor.store.engines import connect, reading
from tests.world.waiting import eventually

TABLE = sa.text("CREATE TABLE kept (id INTEGER PRIMARY KEY, word TEXT UNIQUE)")
COUNT = sa.text("SELECT count(*) FROM kept")
ONE = sa.text("SELECT 1")
NUMBERS = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n{}) SELECT max(i) FROM n"
LONG = sa.text(NUMBERS.format(" WHERE i < 3000000"))
ENDLESS = sa.text(NUMBERS.format(""))
INSERT = sa.text("INSERT INTO kept (word) VALUES (:word)")


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the thread of any connection was entered."""
    counted: Counter[str] = Counter()
    plain = aiosqlite.Connection._execute

    async def entered(self: aiosqlite.Connection, fn: object, *args: object) -> object:
        counted["trips"] += 1
        return await plain(self, fn, *args)  # type: ignore[no-untyped-call]

    monkeypatch.setattr(aiosqlite.Connection, "_execute", entered)
    return counted


async def test_a_statement_that_writes_is_one_trip_and_a_short_one_that_reads_none(
    sqlite_url: str, trips: Counter[str]
) -> None:
    async with connect(sqlite_url) as engines:
        async with engines.write.begin() as connection:
            await connection.execute(TABLE)
        async with reading(engines) as connection:
            await connection.execute(COUNT)
        trips.clear()
        async with engines.write.begin() as connection:
            await connection.execute(INSERT, {"word": "one"})
            many = [{"word": word} for word in ("two", "three", "four")]
            assert (await connection.execute(INSERT, many)).rowcount == 3
            rows = await connection.execute(sa.text("SELECT word FROM kept ORDER BY id"))
            assert rows.scalars().all() == ["one", "two", "three", "four"]
        # BEGIN, three statements, COMMIT; and the pool rolls every connection back.
        assert trips.pop("trips") == 6
        async with reading(engines) as connection:
            for _ in range(3):
                assert await connection.scalar(COUNT) == 4
        assert not trips


async def test_a_long_statement_leaves_the_event_loop_to_others(
    sqlite_url: str, trips: Counter[str]
) -> None:
    async with connect(sqlite_url) as engines, reading(engines) as connection:
        await connection.scalar(ONE)
        trips.clear()
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        other = asyncio.create_task(turn())
        assert await connection.scalar(LONG) == 3_000_000
        other.cancel()
        assert trips.pop("trips") == 1
        assert turns > 10
        # What is short goes on in the same transaction, without a trip.
        assert await connection.scalar(ONE) == 1
        assert not trips
    async with connect(sqlite_url, 60.0) as engines, reading(engines) as connection:
        await connection.scalar(ONE)
        trips.clear()
        assert await connection.scalar(LONG) == 3_000_000
        assert not trips


async def test_a_transaction_whose_begin_was_interrupted_begins_once(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite looks at the time now and then, also in the last step of a BEGIN: steps of a statement
    that is kept are counted on."""
    monkeypatch.setattr(sqlite_engine, "WATCH_STEPS", 3)
    async with connect(sqlite_url, -1.0) as engines, reading(engines) as connection:
        assert await connection.scalar(ONE) == 1


async def test_many_rows_are_fetched_in_parts(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, trips: Counter[str]
) -> None:
    monkeypatch.setattr(sqlite_engine, "ROWS", 30)
    hundred = sa.text(NUMBERS.format(" WHERE i < 100").replace("max(i)", "i"))
    async with connect(sqlite_url) as engines, engines.write.begin() as connection:
        assert (await connection.execute(hundred)).scalars().all() == [*range(1, 101)]
        trips.clear()
        result = await connection.stream(hundred)
        parts = [len(part) async for part in result.partitions(20)]
        assert parts == [20, 10, 20, 10, 20, 10, 10]
        assert trips["trips"] > 2
        # What nobody fetches is let go.
        assert (await connection.execute(hundred)).first() == (1,)
        left = await connection.stream(hundred)
        await left.fetchone()
        await left.close()
        assert await connection.scalar(ONE) == 1


async def test_rows_that_come_slowly_are_fetched_in_the_thread(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch, trips: Counter[str]
) -> None:
    hundred = sa.text(NUMBERS.format(" WHERE i < 100").replace("max(i)", "i"))
    async with connect(sqlite_url) as engines, reading(engines) as connection:
        await connection.scalar(ONE)
        trips.clear()
        assert (await connection.execute(hundred)).scalars().all() == [*range(1, 101)]
        assert not trips
        # As where another thread computes: the time is over after the first few.
        clock = iter((0.0, *[1.0] * 99))
        monkeypatch.setattr(sqlite_engine.time, "perf_counter", lambda: next(clock))
        assert (await connection.execute(hundred)).scalars().all() == [*range(1, 101)]
        assert trips["trips"] == 1


async def test_a_cancelled_statement_is_over_before_the_next_one_begins(sqlite_url: str) -> None:
    async with connect(sqlite_url) as engines:

        async def ask() -> None:
            async with reading(engines) as connection:
                await connection.scalar(ENDLESS)

        for _ in range(2 * 5):  # each connection of the pool twice
            asking = asyncio.create_task(ask())
            await asyncio.sleep(0.03)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
        async with reading(engines) as connection:
            assert await connection.scalar(ONE) == 1


async def test_what_is_opened_for_a_task_that_was_cancelled_is_closed(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[sqlite3.Connection] = []
    plain = sqlite3.connect

    def noted(*args: Any, **options: Any) -> sqlite3.Connection:
        assert threading.current_thread() is threading.main_thread()
        opened.append(plain(*args, **options))
        return opened[-1]

    async with connect(sqlite_url) as engines:
        monkeypatch.setattr(sqlite3, "connect", noted)
        task = asyncio.create_task(engines.write.connect().start())
        await eventually(lambda: opened, "the file is open", pause=0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [is_closed(each) for each in opened] == [True]


async def test_a_file_that_cannot_be_opened_leaves_no_thread(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(threading.enumerate())  # others may end meanwhile

    def refuse(*args: Any, **options: Any) -> sqlite3.Connection:
        raise sqlite3.OperationalError("unable to open database file")

    async with connect(sqlite_url) as engines:
        monkeypatch.setattr(sqlite3, "connect", refuse)
        with pytest.raises(sa.exc.OperationalError, match="unable to open"):
            await engines.write.connect().start()
    await eventually(lambda: before.issuperset(threading.enumerate()), "the thread has ended")


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        return connection.total_changes < 0
    except sqlite3.ProgrammingError:
        return True


async def test_a_reader_waits_for_a_lock_in_its_thread(
    sqlite_url: str, tmp_path: Path, trips: Counter[str]
) -> None:
    async with connect(sqlite_url) as engines:
        async with engines.write.begin() as connection:
            await connection.execute(TABLE)
        # Without a write-ahead log a writer keeps readers out while it commits.
        with contextlib.closing(
            sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
        ) as other:
            other.execute("BEGIN EXCLUSIVE")

            async def ask() -> int:
                async with reading(engines) as connection:
                    return int(await connection.scalar(COUNT) or 0)

            trips.clear()
            asking = asyncio.create_task(ask())
            await asyncio.sleep(0.2)
            assert not asking.done()
            other.execute("COMMIT")
            assert await asking == 0
            assert trips["trips"] >= 1


async def test_what_a_statement_says_of_itself(sqlite_url: str) -> None:
    table = sa.table("kept", sa.column("id"), sa.column("word"))
    async with connect(sqlite_url) as engines, engines.write.begin() as connection:
        await connection.execute(TABLE)
        done = await connection.execute(sa.insert(table).values(word="one"))
        assert (done.rowcount, done.lastrowid) == (1, 1)
        done = await connection.execute(sa.insert(table).returning(table.c.id), {"word": "two"})
        assert done.scalar_one() == 2
        done = await connection.execute(sa.update(table).values(word=table.c.word + "!"))
        assert done.rowcount == 2
        rows = await connection.execute(sa.select(table.c.word).where(table.c.id > 5))
        assert list(rows.keys()) == ["word"]
        assert rows.first() is None


async def test_after_a_statement_that_fails_the_connection_goes_on(sqlite_url: str) -> None:
    async with connect(sqlite_url) as engines:
        async with engines.write.begin() as connection:
            await connection.execute(TABLE)
            await connection.execute(INSERT, {"word": "one"})
        with pytest.raises(sa.exc.IntegrityError, match="UNIQUE"):
            async with engines.write.begin() as connection:
                await connection.execute(INSERT, [{"word": "two"}, {"word": "one"}])
        async with engines.write.begin() as connection:
            count = await connection.scalar(COUNT)
        assert count == 1
