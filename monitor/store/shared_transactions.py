# SPDX-License-Identifier: Apache-2.0
"""Read transactions that one request has after another.

A request may go on with a transaction that was begun after it had arrived: what it reads is no
older than the request. So where requests wait for their turn, most need not begin one, nor read
again what all of them read first.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from monitor.store.driver_reads import DriverTransaction
from monitor.store.records import StoreUnavailableError

SHARED_SECONDS = 0.2
"""No request goes on with a transaction that was begun longer ago. Whoever makes the partition of a
day waits until all that read from the table have ended, and not for long (`partitions.LOCK`)."""


class Queued(NamedTuple):
    """A request that waited until it was its turn."""

    arrived: float
    """Seconds, as `time.monotonic` has them: on Linux and macOS they are the same in every process
    of a machine."""
    followed: bool
    """Others wait still."""


class Begun(NamedTuple):
    """A transaction that was begun, and what ends it."""

    transaction: DriverTransaction
    since: float
    """Monotonic seconds; it sees nothing older."""
    block: contextlib.AsyncExitStack


class SharedTransactions:
    """Those of one database that nobody uses at the moment."""

    def __init__(self) -> None:
        self._free: list[Begun] = []

    @contextlib.asynccontextmanager
    async def using(
        self, queued: Queued | None, begin: Callable[[], Awaitable[Begun]]
    ) -> AsyncIterator[DriverTransaction]:
        """One that was begun after the request had arrived, else a new one from `begin`. It is kept
        for those who wait for their turn, unless the block ends with an error."""
        used = await self._taken(queued) or await begin()
        try:
            yield used.transaction
        except BaseException:
            await used.block.__aexit__(*sys.exc_info())
            raise
        if queued is not None and queued.followed:
            self._free.append(used)
        else:
            await used.block.aclose()

    async def _taken(self, queued: Queued | None) -> Begun | None:
        if queued is None:
            return None
        oldest = max(queued.arrived, time.monotonic() - SHARED_SECONDS)
        while self._free:
            if (first := self._free.pop(0)).since >= oldest:
                return first
            await _end(first)  # whoever comes next arrived later
        return None

    async def end_idle(self) -> None:
        """Until cancelled, end those that nobody has had for a while. This reads nothing: whoever
        reads may wait for a lock, and that for one of these to end."""
        while True:
            await asyncio.sleep(SHARED_SECONDS / 2)
            await self.end(SHARED_SECONDS)

    async def end(self, idle_seconds: float = 0.0) -> None:
        """End those that were begun so long ago."""
        oldest = time.monotonic() - idle_seconds
        over = [each for each in self._free if each.since <= oldest]
        self._free = [each for each in self._free if each.since > oldest]
        for each in over:
            await _end(each)


async def _end(begun: Begun) -> None:
    with contextlib.suppress(StoreUnavailableError):  # it has ended otherwise
        await begun.block.aclose()
