# SPDX-License-Identifier: Apache-2.0
"""Connections to a SQLite file. Each has a thread of its own, which a statement enters once, and a
short one that only reads not at all."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import aiosqlite
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

WATCH_STEPS = 2_000
"""Steps of SQLite's virtual machine, some 0.02 ms, between two looks at the task."""
ROWS = 20_000
"""Rows that are fetched at once: of a fleet's measurements there are millions."""
FEW_ROWS = 16
"""Rows that are fetched in the event loop before a look at the time: each may have to wait for the
interpreter, where another thread computes."""
AT_ONCE_SECONDS = 0.005
"""Longest time for which a statement keeps the event loop, where nothing else is said."""
_OPEN = {
    # FULL: with WAL, NORMAL may lose the last commits on power loss, after their
    # acknowledgement was sent.
    "synchronous": "FULL",
    "foreign_keys": "ON",
    "cache_size": "-32768",
    "journal_size_limit": "67108864",
}


class RollbackConnection(sqlite3.Connection):
    """A connection that rolls back before it closes.

    SQLite's own close waits for statements that are still referenced, for example by the
    traceback of a cancelled writer, and keeps the write lock meanwhile.
    """

    def close(self) -> None:
        """Roll back an open transaction, then close."""
        with contextlib.suppress(sqlite3.Error):
            if self.in_transaction:
                self.rollback()
        super().close()


class _Statement(NamedTuple):
    """What is left of an executed statement; as DB-API says it."""

    description: Any = None
    rowcount: int = -1
    lastrowid: int | None = None
    rows: list[Any] = []  # noqa: RUF012 - not changed
    rest: sqlite3.Cursor | None = None
    """Has further rows."""


def _execute(
    connection: sqlite3.Connection,
    many: bool,
    text: str,
    values: Any,
    deadline: float | None = None,
) -> _Statement:
    """Execute a statement and fetch its rows: the first ROWS, or those until a time (of
    `perf_counter`)."""
    cursor, rest = connection.cursor(), None
    try:
        (cursor.executemany if many else cursor.execute)(text, values)
        size = ROWS if deadline is None else FEW_ROWS
        part = cursor.fetchmany(size) if cursor.description else []
        rows = [*part]
        while deadline is not None and len(part) == size and time.perf_counter() < deadline:
            rows += (part := cursor.fetchmany(size))
        rest = cursor if len(part) == size else None
        return _Statement(cursor.description, cursor.rowcount, cursor.lastrowid, rows, rest)
    finally:
        if rest is None:
            cursor.close()


class _Cursor:
    """Executes each statement and fetches its rows in one trip to the connection's thread (those
    after the first ROWS in another). aiosqlite's own cursor makes four (cursor, statement, rows,
    end), and a trip costs more than most statements."""

    arraysize = 1

    def __init__(self, connection: DriverConnection) -> None:
        self._connection = connection
        self._executed = _Statement()
        self._rows: list[Any] = []

    @property
    def description(self) -> Any:
        return self._executed.description

    @property
    def rowcount(self) -> int:
        return self._executed.rowcount

    @property
    def lastrowid(self) -> int | None:
        return self._executed.lastrowid

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, text: str, values: Sequence[Any] = ()) -> None:
        self._executed = await self._connection.execute_whole(False, text, values)
        self._rows = self._executed.rows

    async def executemany(self, text: str, values: Sequence[Sequence[Any]]) -> None:
        self._executed = await self._connection.execute_whole(True, text, values)

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        if self._executed.rest is not None:
            rows = rows + await self._connection.trip(self._executed.rest.fetchall)
            self._executed = self._executed._replace(rest=None)
        return rows

    async def fetchmany(self, size: int | None = None) -> list[Any]:
        if not self._rows and self._executed.rest is not None:
            self._rows = await self._connection.trip(self._executed.rest.fetchmany, ROWS)
        rows, self._rows = self._rows[: size or 1], self._rows[size or 1 :]
        return rows

    async def fetchone(self) -> Any:
        return next(iter(await self.fetchmany(1)), None)

    async def close(self) -> None:
        self._rows = []
        if self._executed.rest is not None:
            await self._connection.trip(self._executed.rest.close)


class _TooLongError(Exception):
    """A statement cannot be executed at once."""


class CancellationWatch:
    """Ends a statement of SQLite when the task that waits for it is cancelled, or when it keeps the
    event loop for too long.

    Otherwise a cancelled statement goes on in its thread, and closing the connection waits for it.
    """

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._before = 0
        self._deadline: float | None = None

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """In the block the statements are those of the current task."""
        self._task = asyncio.current_task()
        self._before = self._task.cancelling() if self._task else 0
        try:
            yield
        finally:
            self._task = None

    def at_once(self, seconds: float, execute: Callable[[float], _Statement]) -> _Statement:
        """Execute a statement in the event loop; it gets the time at which it is to end. Raises
        _TooLongError."""
        self._deadline = time.perf_counter() + seconds
        try:
            return execute(self._deadline)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname.startswith(("SQLITE_INTERRUPT", "SQLITE_BUSY")):
                raise _TooLongError from error
            raise
        finally:
            self._deadline = None

    def over(self) -> bool:
        """SQLite asks every WATCH_STEPS steps, in the thread that executes the statement."""
        if self._deadline is not None:
            return time.perf_counter() > self._deadline
        task = self._task
        return task is not None and task.cancelling() > self._before


class DriverConnection(aiosqlite.Connection):
    """A connection whose statements are executed whole in its thread.

    Of a reader a statement is begun in the event loop, and goes to the thread only when it takes
    longer than `at_once` or waits for a lock. Most take less than the trip. And a thread that reads
    row by row asks for the interpreter before each of them, which a busy event loop gives away only
    every 5 ms.
    """

    at_once = 0.0
    """Seconds; 0: all go to the thread."""
    patience_ms = 0
    """How long a reader waits for a lock, in its thread."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.watch = CancellationWatch()
        self._sent = self._ended = 0
        """Trips to the thread: counted by the event loop, and by the thread."""

    async def _connect(self) -> Self:
        """Open the file, in the event loop: that takes less than the trip to the thread, and a task
        that is cancelled while the thread opens it leaves it open. Raises sqlite3.Error."""
        try:
            self._connection = self._connector()
        except BaseException:
            if (ended := self.stop()) is not None:
                await ended
            raise
        return self

    def cursor(self) -> Any:
        """As SQLAlchemy uses it."""
        return _Cursor(self)

    async def execute_whole(self, many: bool, text: str, values: Any) -> _Statement:
        """Execute a statement and fetch its rows."""
        execute = partial(_execute, self._conn, many, text, values)
        if self._is_free():
            within = self._conn.in_transaction
            with contextlib.suppress(_TooLongError):
                return self.watch.at_once(self.at_once, execute)
            if self._conn.in_transaction is not within:
                # A BEGIN that was interrupted has begun: a second one would fail.
                return _Statement()
        if self.at_once:
            execute = partial(_patiently, self._conn, self.patience_ms, execute)
        executed: _Statement = await self.trip(execute)
        return executed

    async def fetch_all(self, text: str, values: Sequence[Any] = ()) -> tuple[list[str], list[Any]]:
        """Execute a statement; the names of its columns, and all its rows."""
        executed = await self.execute_whole(False, text, values)
        rows = executed.rows
        if executed.rest is not None:
            rows = rows + await self.trip(executed.rest.fetchall)
        return [column[0] for column in executed.description or ()], rows

    async def trip(self, function: Callable[..., Any], *values: Any) -> Any:
        """Call a function in the thread of the connection."""
        return await self._execute(function, *values)

    async def rollback(self) -> None:
        """Roll back the current transaction."""
        if self._is_free():
            self._conn.rollback()
        else:
            await super().rollback()

    def _is_free(self) -> bool:
        """Whether the event loop may use the connection: a cancelled statement goes on for a while
        in the thread."""
        return self.at_once != 0 and self._sent == self._ended

    async def _execute(self, fn: Callable[..., Any], *args: Any, **options: Any) -> Any:
        def run() -> Any:
            try:
                return fn(*args, **options)
            finally:
                self._ended += 1

        self._sent += 1
        return await super()._execute(run)  # type: ignore[no-untyped-call]


def _patiently(connection: sqlite3.Connection, ms: int, execute: Callable[[], Any]) -> Any:
    """Execute a statement of a reader that may have to wait for a lock."""
    connection.execute(f"PRAGMA busy_timeout={ms}")
    try:
        return execute()
    finally:
        connection.execute("PRAGMA busy_timeout=0")


def _connect(path: str, *, patience_ms: int, at_once: float, **options: Any) -> DriverConnection:
    connection = DriverConnection(partial(sqlite3.connect, path, **options), iter_chunk_size=1)
    connection.at_once, connection.patience_ms = at_once, patience_ms
    connection._thread.daemon = True  # as SQLAlchemy has it
    return connection


async def watch_of(connection: AsyncConnection) -> contextlib.AbstractContextManager[None]:
    """For a block in which the statements of a connection end with their task; on PostgreSQL, where
    they do so anyway, of no effect."""
    raw = (await connection.get_raw_connection()).driver_connection
    return raw.watch.watching() if isinstance(raw, DriverConnection) else contextlib.nullcontext()


def sqlite_engine(
    url: URL,
    begin: str,
    *,
    connections: int,
    lock_seconds: float,
    at_once: float = 0.0,
    pragmas: Mapping[str, str],
) -> AsyncEngine:
    """Make the engine of a file. `begin` begins its transactions, which wait up to `lock_seconds`
    for other processes; statements of those that only read may keep the event loop for `at_once`
    seconds."""
    engine = create_async_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_use_lifo=True,  # one that was just used has in memory what most pages read
        pool_timeout=3 * lock_seconds,
        # isolation_level None: Python's sqlite3 begins nothing by itself.
        connect_args={
            "async_creator_fn": _connect,
            "at_once": at_once,
            "patience_ms": int(1000 * lock_seconds) if at_once else 0,
            "timeout": 0 if at_once else lock_seconds,
            "check_same_thread": False,
            "isolation_level": None,
            "factory": RollbackConnection,
        },
    )

    @sa.event.listens_for(engine.sync_engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.run_async(lambda raw: raw.set_progress_handler(raw.watch.over, WATCH_STEPS))
        cursor = connection.cursor()
        for name, value in (_OPEN | dict(pragmas)).items():
            cursor.execute(f"PRAGMA {name}={value}")
        cursor.close()

    @sa.event.listens_for(engine.sync_engine, "begin")
    def _on_begin(connection: sa.Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
