# SPDX-License-Identifier: Apache-2.0
"""The store behind one database URL: what `--database` opens.

Any number of processes may open the same one; each opens it once and closes it once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncEngine

from monitor.store.conclusions import SQLConclusionStore
from monitor.store.engines import Engines, StoreRefusedError, connect, parse
from monitor.store.facts import SQLFactStore
from monitor.store.registry import SQLRegistry
from monitor.store.schema import bring_up

__all__ = ["Database", "StoreRefusedError", "migrate", "open_database", "parse"]


def wall_clock() -> int:
    """Unix milliseconds."""
    return time.time_ns() // 1_000_000


class Database:
    """An open store. Make one with `open_database`."""

    def __init__(self, engines: Engines, now: Callable[[], int]) -> None:
        self._engines = engines
        self.facts = SQLFactStore(engines)
        self.conclusions = SQLConclusionStore(engines, now)
        self.registry = SQLRegistry(engines)

    @property
    def engine(self) -> AsyncEngine:
        """For reading only (on SQLite its connections refuse to write)."""
        return self._engines.read

    @property
    def engines(self) -> Engines:
        """For the store's own modules, such as `monitor.store.upkeep` and reading."""
        return self._engines

    @property
    def place(self) -> str:
        """The URL without its password, for messages."""
        return self._engines.place

    async def close(self) -> None:
        """Close every connection."""
        await self._engines.close()


async def open_database(url: str, *, now: Callable[[], int] = wall_clock) -> Database:
    """Open the store and bring its schema up to date.

    `now` gives Unix milliseconds for the journal's own time. Raises StoreRefusedError when
    waiting will not help (bad URL, not a database, newer schema), else StoreUnavailableError;
    both carry one line.
    """
    engines = connect(url)
    try:
        await bring_up(engines)
    except BaseException:
        await engines.close()
        raise
    return Database(engines, now)


async def migrate(url: str) -> bool:
    """Bring the schema of a database up to date; True when there was something to do.

    Raises as `open_database` does.
    """
    engines = connect(url)
    try:
        return await bring_up(engines)
    finally:
        await engines.close()
