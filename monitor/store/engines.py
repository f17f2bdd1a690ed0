# SPDX-License-Identifier: Apache-2.0
"""Connections to the database, and how its errors are translated.

SQLite has one writer at a time: all writers of this process share one connection, which takes
the file's write lock when its transaction begins (BEGIN IMMEDIATE) and waits for other
processes; a transaction that reads first and writes later could not be retried by SQLite.
Readers have connections of their own that cannot write. On PostgreSQL one pool serves both. A
transaction that reads sees one moment on either: what one statement finds, the next one knows.

What can go wrong with a database from outside (locked, full, unreachable, not a database) is
raised as `StoreUnavailableError` with one line. A bug (a wrong statement, a violated constraint)
stays the exception that it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from monitor.store.driver_reads import Statements, driver_reading
from monitor.store.records import StoreUnavailableError
from monitor.store.shared_transactions import Begun, Queued, SharedTransactions
from monitor.store.sqlite_engine import AT_ONCE_SECONDS, sqlite_engine, watch_of

LOCK_SECONDS = 10.0
"""How long a writer waits for another process's transaction before it reports `locked`."""
CONNECT_SECONDS = 10.0
IDLE_SECONDS = 1.0
"""A connection to PostgreSQL that was not used for so long is looked at before it is used."""
_USED = "used"
_PLANNED_ONCE = {"plan_cache_mode": "force_generic_plan"}
CLOSE_SECONDS = 2.0
"""Longest time that closing waits for transactions."""
STATEMENT_SECONDS = 300.0
"""Longest single statement on PostgreSQL: pruning and clearing take minutes, not hours."""
_UNAVAILABLE_SQLSTATES = ("08", "25006", "28", "3D", "40", "42P01", "53", "55P03", "57", "58", "XX")
"""Classes of SQLSTATE caused by the server or the network: connection, read-only, authorisation, no
such database, rolled back, no such table, resources, a lock not given in time, operator, system,
internal."""

_CLIENT_ERRORS = ("InterfaceError", "InternalClientError")
"""asyncpg's own: of a connection that ended, and of a server that died in the middle of its answer
("cannot switch to state 12; another operation (2) is in progress")."""


ReadTransaction = AsyncConnection
"""What the queries of `monitor.store.reading` take."""


class StoreRefusedError(StoreUnavailableError):
    """Waiting will not help: a wrong URL, a file that is not a database, a newer schema."""


class _Transactions:
    """Those in progress in this process. As a context manager, one of them."""

    def __init__(self) -> None:
        self._number = 0
        self._over = asyncio.Event()

    def __enter__(self) -> None:
        self._number += 1

    def __exit__(self, *_: object) -> None:
        self._number -= 1
        self._over.set()

    async def ended(self) -> None:
        """Return once none is in progress."""
        while self._number:
            self._over.clear()
            await self._over.wait()


class _File:
    """A file that stays open. Whoever moves, deletes or replaces it takes away what is written from
    then on, of which no other process knows."""

    def __init__(self, path: Path) -> None:
        self._path, self._opened = path, self._identity(path)

    @staticmethod
    def _identity(path: Path) -> tuple[int, int] | None:
        try:
            found = path.stat()
        except FileNotFoundError:
            return None
        return found.st_dev, found.st_ino

    def check(self) -> None:
        """Raise StoreUnavailableError when its path leads elsewhere now."""
        if self._identity(self._path) != self._opened:
            raise StoreUnavailableError(
                f"{self._path}: was moved, deleted or replaced while it was open: put it back, or "
                "stop every process that uses it and start them again"
            )


class Engines(msgspec.Struct, frozen=True):
    """One engine to write with, one to read with; on PostgreSQL with the same connections. As an
    async context manager, they are closed at the end."""

    write: AsyncEngine
    read: AsyncEngine
    place: str
    """The URL without its password, for messages."""
    file: _File | None = None
    """Of SQLite."""
    transactions: _Transactions = msgspec.field(default_factory=_Transactions)
    statements: Statements = msgspec.field(default_factory=Statements)
    """Those of `together`, as the driver takes them."""
    taken: dict[asyncio.Task[Any] | None, ReadTransaction] = msgspec.field(default_factory=dict)
    """The transactions of tasks that are in a block of `together`."""
    shared: SharedTransactions = msgspec.field(default_factory=SharedTransactions)
    """Those of `together` that the next request may have."""

    @property
    def sqlite(self) -> bool:
        """Whether this is a SQLite file."""
        return self.write.dialect.name == "sqlite"

    async def close(self) -> None:
        """Close every connection, once cancelled transactions have rolled back.

        Otherwise the end of the event loop cancels SQLAlchemy's task that closes the connection of
        such a transaction, and aiosqlite 0.22 then waits for a thread that has ended, for ever.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.transactions.ended()
                await self.shared.end()
        await self.write.dispose()
        if self.sqlite:
            await self.read.dispose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def parse(url: str) -> URL:
    """Return the parsed database URL. Raises StoreRefusedError."""
    try:
        parsed = sa.make_url(url)
    except (sa.exc.ArgumentError, ValueError):
        raise StoreRefusedError(
            "database URL: not a URL such as sqlite+aiosqlite:///file"
        ) from None
    match parsed.drivername:
        case "sqlite" | "sqlite+aiosqlite":
            if not parsed.database or parsed.database == ":memory:" or "file:" in parsed.database:
                raise StoreRefusedError(
                    "database URL: SQLite needs a file, because several processes share it"
                )
            return parsed.set(drivername="sqlite+aiosqlite")
        case "postgresql" | "postgres" | "postgresql+asyncpg":
            return parsed.set(drivername="postgresql+asyncpg")
        case other:
            raise StoreRefusedError(
                f"database URL: {other!r} is neither sqlite+aiosqlite nor postgresql+asyncpg"
            )


def connect(
    url: str,
    at_once: float = AT_ONCE_SECONDS,
    pragmas: Mapping[str, str] = {},
    *,
    planned_once: bool = False,
) -> Engines:
    """Make the engines of a URL; nothing is contacted yet. `at_once`: how long a statement that
    reads SQLite may keep the event loop (seconds). `pragmas` are those of SQLite's writer, where
    they differ. `planned_once`: PostgreSQL plans a statement once a connection, whatever its
    values are. Raises StoreRefusedError."""
    parsed = parse(url)
    place = parsed.render_as_string(hide_password=True)
    if parsed.drivername.startswith("postgresql"):
        try:
            engine = create_async_engine(
                parsed,
                pool_size=5,
                max_overflow=5,
                pool_timeout=LOCK_SECONDS,
                pool_use_lifo=True,
                connect_args={
                    "timeout": CONNECT_SECONDS,
                    "command_timeout": STATEMENT_SECONDS,
                    # To compile a statement takes 60 ms, and most take one.
                    "server_settings": {"jit": "off"} | (_PLANNED_ONCE if planned_once else {}),
                },
            )
        except ImportError:
            raise StoreRefusedError(
                "PostgreSQL needs the extra: pip install 'reachwatch[postgres]'"
            ) from None
        _look_at_idle_connections(engine)
        read = engine.execution_options(isolation_level="REPEATABLE READ")
        return Engines(engine, read, place)
    path = Path(str(parsed.database))
    _make_private(path)
    made = partial(sqlite_engine, parsed, lock_seconds=LOCK_SECONDS)
    write = made("BEGIN IMMEDIATE", connections=1, pragmas=pragmas)
    read = made("BEGIN", connections=5, at_once=at_once, pragmas={"query_only": "ON"})
    return Engines(write, read, place, _File(path))


def _look_at_idle_connections(engine: AsyncEngine) -> None:
    """Before a connection of PostgreSQL is used, see whether it still is one.

    SQLAlchemy's own look takes three trips (it begins and ends a transaction), as much as a page's
    statements. One that was just used, and that the server has not closed, is taken as it is.
    """

    @sa.event.listens_for(engine.sync_engine, "checkin")
    def _on_checkin(_connection: Any, record: Any) -> None:
        record.info[_USED] = time.monotonic()

    @sa.event.listens_for(engine.sync_engine, "checkout")
    def _on_checkout(connection: Any, record: Any, _proxy: Any) -> None:
        if (used := record.info.get(_USED)) is None:
            return  # it is new
        if connection.driver_connection.is_closed():
            raise sa.exc.InvalidatePoolError
        if time.monotonic() - used > IDLE_SECONDS:
            try:
                connection.ping()
            except (connection.dbapi.Error, OSError) as error:
                raise sa.exc.InvalidatePoolError from error


def _make_private(path: Path) -> None:
    """Create the file readable by its owner only: it holds hashes of secrets."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        reason = f"{path}: {error.strerror}"
        kind = StoreUnavailableError if path.parent.is_dir() else StoreRefusedError
        raise kind(reason) from None


def unavailable_reason(error: BaseException) -> str | None:
    """The reason in one line when the database is unavailable; None for a bug of ours."""
    if isinstance(error, sa.exc.TimeoutError):
        return "every connection is in use"
    cause: BaseException | None = error
    if isinstance(error, sa.exc.DBAPIError) and error.orig:
        cause = error.orig
    text = " ".join(str(cause).split()) or type(cause).__name__
    while cause is not None:
        if isinstance(cause, sqlite3.DatabaseError):
            ours = isinstance(cause, (sqlite3.IntegrityError, sqlite3.ProgrammingError))
            wrong = getattr(cause, "sqlite_errorname", "") == "SQLITE_ERROR"
            # A table that vanished means that somebody replaced the file.
            ours = ours or (wrong and "no such table" not in text)
            return None if ours else text
        if isinstance(state := getattr(cause, "sqlstate", None), str):
            return text if state.startswith(_UNAVAILABLE_SQLSTATES) else None
        if isinstance(cause, OSError) or type(cause).__name__ in _CLIENT_ERRORS:
            return text
        cause = cause.__cause__
    return None


@contextlib.asynccontextmanager
async def translated_errors(place: str) -> AsyncIterator[None]:
    """Raise the database's errors inside the block as StoreUnavailableError."""
    try:
        yield
    except StoreUnavailableError:
        raise
    except Exception as error:
        if (reason := unavailable_reason(error)) is None:
            raise
        permanent = "file is not a database" in reason
        kind = StoreRefusedError if permanent else StoreUnavailableError
        raise kind(f"{place}: {reason}") from error


@contextlib.asynccontextmanager
async def writing(engines: Engines) -> AsyncIterator[AsyncConnection]:
    """One write transaction: committed at the end of the block, rolled back by an exception."""
    with engines.transactions:
        async with translated_errors(engines.place), engines.write.begin() as connection:
            yield connection
    # Afterwards: nobody may be told that something is stored which is in a file without a name.
    if engines.file is not None:
        engines.file.check()


@contextlib.asynccontextmanager
async def reading(engines: Engines, seconds: float | None = None) -> AsyncIterator[AsyncConnection]:
    """One read transaction; all its statements see the same moment. In a block of `together` it is
    that of the block.

    A statement ends when its task is cancelled, also in the database. `seconds` limits the whole
    transaction: StoreUnavailableError when they are over.
    """
    taken = engines.taken.get(asyncio.current_task())
    if taken is None:
        async with _within(engines, seconds), engines.read.connect() as connection:
            # It begins with its first statement, and is rolled back: one trip less than commit.
            with await watch_of(connection):
                yield connection
    else:
        async with translated_errors(engines.place):
            yield taken


@contextlib.asynccontextmanager
async def together(
    engines: Engines, seconds: float | None = None, queued: Queued | None = None
) -> AsyncIterator[ReadTransaction]:
    """One read transaction, which in its block is that of whatever the task reads. That of a
    request that has `queued` may be another one's, begun after this one had arrived."""
    task = asyncio.current_task()
    assert task not in engines.taken
    async with (
        _within(engines, seconds),
        engines.shared.using(queued, partial(_begun, engines)) as made,
    ):
        # Of a connection it has all that queries use.
        transaction = cast(ReadTransaction, made)
        engines.taken[task] = transaction
        try:
            with made.watching():
                yield transaction
        finally:
            del engines.taken[task]


async def _begun(engines: Engines) -> Begun:
    async with contextlib.AsyncExitStack() as block:
        await block.enter_async_context(translated_errors(engines.place))
        connection = await block.enter_async_context(engines.read.connect())
        since = time.monotonic()
        reads = driver_reading(connection, engines.statements)
        return Begun(await block.enter_async_context(reads), since, block.pop_all())


@contextlib.asynccontextmanager
async def _within(engines: Engines, seconds: float | None) -> AsyncIterator[None]:
    """A block that takes at most so long, in which the database is read."""
    if engines.file is not None:
        engines.file.check()
    with engines.transactions:
        try:
            async with asyncio.timeout(seconds) as limit, translated_errors(engines.place):
                yield
        except TimeoutError:
            if not limit.expired():
                raise
            raise StoreUnavailableError(
                f"{engines.place}: no answer within {seconds:g} s"
            ) from None
