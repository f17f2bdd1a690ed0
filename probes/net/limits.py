# SPDX-License-Identifier: Apache-2.0
"""Time limits that cost little: those of one length end in the order in which they began.

`with within(10.0)` does what `async with asyncio.timeout(10.0)` does. asyncio puts a timer for each
into the event loop's heap and takes it out again, which is a tenth of what a connection over a fast
network costs. Here there is one timer for each length, set for the eldest limit: the way of libev's
manual ("Be smart about timeouts", number 4; libev 4.33, 2020).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from weakref import WeakKeyDictionary, ref


def within(seconds: float) -> Limit:
    """Return the context in which a task raises TimeoutError once it has taken so many seconds.

    Enter it at once. For lengths that come again and again: each has a timer of its own.
    """
    global _newest
    loop = asyncio.get_running_loop()
    of, queues = _newest
    if of() is not loop:
        queues = _queues.setdefault(loop, {})
        _newest = (ref(loop), queues)
    queue = queues.get(seconds)
    if queue is None:
        queue = queues[seconds] = _Queue()
    return queue.begin(loop, loop.time() + seconds)


class Limit:
    """One task's limit, from `within`."""

    __slots__ = ("_cancelling", "_expired", "_task", "ends")

    def __init__(self, ends: float) -> None:
        self.ends = ends
        """Time of the event loop."""
        self._task: asyncio.Task[object] | None = None
        self._expired = False
        self._cancelling = 0

    @property
    def over(self) -> bool:
        """Its body has ended."""
        return self._task is None

    def __enter__(self) -> None:
        if (task := asyncio.current_task()) is None:
            raise RuntimeError("a time limit outside a task")
        self._task, self._cancelling = task, task.cancelling()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        task, self._task = self._task, None
        # As in asyncio.timeout: whoever else cancelled the task meanwhile has precedence.
        ours = self._expired and task is not None and task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Interrupt the body."""
        if self._task is not None:
            self._expired = True
            self._task.cancel()


class _Queue:
    """The limits of one length, the eldest first, and whether a timer is set for them. It holds no
    event loop, so that one which is closed can go."""

    __slots__ = ("_limits", "_waits")

    def __init__(self) -> None:
        self._limits: deque[Limit] = deque()
        self._waits = False

    def begin(self, loop: asyncio.AbstractEventLoop, ends: float) -> Limit:
        while self._limits and self._limits[0].over:
            self._limits.popleft()
        limit = Limit(ends)
        self._limits.append(limit)
        if not self._waits:
            self._wait(loop)
        return limit

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waits = True
        loop.call_at(self._limits[0].ends, self._ring)

    def _ring(self) -> None:
        """End what is due. Most is over long before, and the timer was another's."""
        self._waits = False
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._limits and (self._limits[0].over or self._limits[0].ends <= now):
            self._limits.popleft().expire()
        if self._limits:
            self._wait(loop)


_queues: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, _Queue]] = WeakKeyDictionary()
_newest: tuple[Callable[[], asyncio.AbstractEventLoop | None], dict[float, _Queue]] = (
    lambda: None,
    {},
)
"""The loop that asked last and its queues, for there is hardly ever another."""
