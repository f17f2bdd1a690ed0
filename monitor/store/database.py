# SPDX-License-Identifier: Apache-2.0
"""The store behind one database URL (`--database`). Any number of processes may open the same
one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Self

from monitor.store.conclusions import ConclusionStore
from monitor.store.engines import (
    Engines,
    ReadTransaction,
    StoreRefusedError,
    connect,
    parse,
    reading,
    together,
)
from monitor.store.facts import FactStore
from monitor.store.lease import Lease
from monitor.store.notes import NoteStore
from monitor.store.registry import Registry
from monitor.store.retests import RetestStore
from monitor.store.schema import upgrade_schema
from monitor.store.shared_transactions import Queued
from monitor.store.sqlite_engine import AT_ONCE_SECONDS
from probes.runtime.clock import wall_clock

__all__ = ["Database", "StoreRefusedError", "migrate", "open_database", "parse"]


class Database:
    """An open store; `open_database` makes one. As an async context manager, it is closed at the
    end."""

    def __init__(
        self, engines: Engines, now: Callable[[], int], read_seconds: float | None = None
    ) -> None:
        self._read_seconds = read_seconds
        self.engines = engines
        """For the modules of this folder alone."""
        self.facts = FactStore(engines)
        self.lease = Lease(engines, now)
        self.conclusions = ConclusionStore(engines, now, self.lease)
        self.notes = NoteStore(engines, now)
        self.registry = Registry(engines)
        self.retests = RetestStore(engines)

    def reading(self) -> AbstractAsyncContextManager[ReadTransaction]:
        """A transaction for the queries of `monitor.store.reading`; on SQLite all of them see the
        same moment. Raises StoreUnavailableError."""
        return reading(self.engines, self._read_seconds)

    def together(
        self, queued: Queued | None = None
    ) -> AbstractAsyncContextManager[ReadTransaction]:
        """The same, in whose block everything that the task reads is read in this transaction: it
        is of one moment, and sees nothing that is written meanwhile. That of a request that has
        `queued` may be another one's, begun after this one had arrived."""
        return together(self.engines, self._read_seconds, queued)

    async def end_shared(self) -> None:
        """Until cancelled, end the transactions that are kept for a next request and that none has
        had."""
        await self.engines.shared.end_idle()

    async def close(self) -> None:
        """Close every connection."""
        await self.engines.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def open_database(
    url: str,
    *,
    now: Callable[[], int] = wall_clock,
    read_seconds: float | None = None,
    at_once: float = AT_ONCE_SECONDS,
    planned_once: bool = False,
) -> Database:
    """Open the store and bring its schema up to date.

    `now` gives Unix milliseconds for the journal's own time; `read_seconds` limits each
    transaction of `Database.reading`; `at_once` and `planned_once` as `connect` has them. Raises
    StoreRefusedError when waiting will not help (bad URL, not a database, newer schema), else
    StoreUnavailableError; both carry one line.
    """
    engines = connect(url, at_once, planned_once=planned_once)
    try:
        await upgrade_schema(engines)
    except BaseException:
        await engines.close()
        raise
    return Database(engines, now, read_seconds)


async def migrate(url: str) -> bool:
    """Bring the schema of a database up to date; True when there was something to do.

    Raises as `open_database` does.
    """
    async with connect(url) as engines:
        return await upgrade_schema(engines)
