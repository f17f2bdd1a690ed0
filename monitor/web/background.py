# SPDX-License-Identifier: Apache-2.0
"""Work that no request waits for. It ends with the web server, in the middle if need be."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

from monitor.store.records import StoreUnavailableError

log = logging.getLogger(__name__)
Work = Callable[[], Awaitable[object]]


class Background:
    """Runs what it is given while its block lasts."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take work until the block ends; what is not finished then is cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                yield
            finally:
                self._group = None
                for task in self._tasks:
                    task.cancel()

    def start(self, work: Work) -> bool:
        """Begin some work; False when nobody runs it."""
        if self._group is None:
            return False
        task = self._group.create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _guarded(self, work: Work) -> None:
        try:
            await work()
        except StoreUnavailableError:
            pass  # the next request that needs it finds out, and says so
        except Exception:
            log.exception("work behind a request failed")
