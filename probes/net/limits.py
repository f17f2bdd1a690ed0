# SPDX-License-Identifier: Apache-2.0
"""Cheap time limits: limits of the same duration end in the order in which they began.

`with within(10.0)` does what `async with asyncio.timeout(10.0)` does. asyncio adds a timer for each
limit to the event loop's heap, which makes a TCP endpoint a quarter dearer (171 to 215 microseconds
on loopback, 2026-11-26). Here there is one timer for each duration, set for the oldest limit: see
libev's manual, "Be smart about timeouts", number 4 (libev 4.33, 2020).

A limit is for the far side. Time for which the event loop came late, on a machine that is
overloaded or stood still, is waited for once more, up to the limit again. Where that, or sleep of
the machine, was half of the wait, the error says so (`MachineLateError`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from weakref import WeakKeyDictionary, ref

LOOK_SECONDS = 0.1
"""How often it is looked how late the event loop comes, while limits are set."""
EVERYDAY_SECONDS = 0.02
"""So late it may come without being counted: its own work, and timers of the kernel."""
LATE_SHARE = 0.5
"""Of the time waited: less is made up for, since it is waited for once more."""


class MachineLateError(TimeoutError):
    """The time is over, and for half of it this machine itself was late."""


def within(seconds: float) -> Limit:
    """Return a context that raises TimeoutError when its body takes longer than this.

    Enter it at once. Meant for a few durations that recur: each has a timer of its own.
    """
    global _newest
    loop = asyncio.get_running_loop()
    of, limits = _newest
    if of() is not loop:
        limits = _limits.get(loop) or _limits.setdefault(loop, _LoopLimits())
        _newest = (ref(loop), limits)
    return limits.begin(loop, seconds)


class Limit:
    """One task's limit, from `within`."""

    __slots__ = ("_cancelling", "_expired", "_late", "_slept", "_task", "begun", "ends", "is_late")

    def __init__(self, begun: float, ends: float, late: float, slept: float) -> None:
        self.begun, self.ends = begun, ends
        """Times of the event loop."""
        self._late, self._slept = late, slept
        self.is_late = False
        """For half of its time this machine was late."""
        self._task: asyncio.Task[object] | None = None
        self._expired = False
        self._cancelling = 0

    @property
    def ended(self) -> bool:
        """Its body has ended."""
        return self._task is None

    def due(self, late: float) -> float:
        """When its time is over, where this machine has been `late` for so long in all."""
        return self.ends + min(late - self._late, self.ends - self.begun)

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
        # As in asyncio.timeout: another cancellation of the task takes precedence.
        ours = self._expired and task is not None and task.uncancel() <= self._cancelling
        if ours and kind is asyncio.CancelledError:
            raise (MachineLateError if self.is_late else TimeoutError) from error

    def expire(self, now: float, late: float, slept: float) -> None:
        """Interrupt the body, unless what it waits for has arrived in this pass of the event loop:
        on a busy machine both are found in the same pass, and the arrival was in time."""
        idle = late - self._late + slept - self._slept
        self.is_late = idle > EVERYDAY_SECONDS and idle >= LATE_SHARE * (now - self.begun)
        asyncio.get_running_loop().call_soon(self._interrupt)

    def _interrupt(self) -> None:
        if self._task is not None:
            self._expired = True
            self._task.cancel()


class _LoopLimits:
    """The limits of one event loop, and how late it was. Holds no reference to it, so that a closed
    one can be freed."""

    __slots__ = ("_asleep", "_look_at", "_queues", "late", "slept")

    def __init__(self) -> None:
        self._queues: dict[float, _Queue] = {}
        self._look_at: float | None = None
        self._asleep = 0.0
        self.late = self.slept = 0.0
        """For how many seconds it came late, and for how many the machine slept, while limits were
        set."""

    def begin(self, loop: asyncio.AbstractEventLoop, seconds: float) -> Limit:
        now = loop.time()
        if self._look_at is None:
            self._asleep = _asleep_seconds()
            self._set_look(loop, now)
        queue = self._queues.get(seconds)
        if queue is None:
            queue = self._queues[seconds] = _Queue(self)
        return queue.begin(loop, Limit(now, now + seconds, self.late, self.slept))

    def notice(self, now: float) -> None:
        """Count for how long the loop is late, and what the machine slept."""
        if self._look_at is None:
            return
        asleep = _asleep_seconds()
        self.slept, self._asleep = self.slept + max(0.0, asleep - self._asleep), asleep
        if (late := now - self._look_at) > EVERYDAY_SECONDS:
            self.late += late
            self._look_at = now

    def _set_look(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        self._look_at = now + LOOK_SECONDS
        loop.call_at(self._look_at, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        self.notice(now := loop.time())
        if any(queue.timer_set for queue in self._queues.values()):
            self._set_look(loop, now)
        else:
            self._look_at = None


class _Queue:
    """The limits of one duration, the oldest first, and whether a timer is set for them."""

    __slots__ = ("_limits", "_loop_limits", "timer_set")

    def __init__(self, loop_limits: _LoopLimits) -> None:
        self._limits: deque[Limit] = deque()
        self._loop_limits = loop_limits
        self.timer_set = False

    def begin(self, loop: asyncio.AbstractEventLoop, limit: Limit) -> Limit:
        while self._limits and self._limits[0].ended:
            self._limits.popleft()
        self._limits.append(limit)
        if not self.timer_set:
            self._set_timer(loop)
        return limit

    def _set_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self.timer_set = True
        loop.call_at(self._limits[0].due(self._loop_limits.late), self._end_due)

    def _end_due(self) -> None:
        """End the limits that are due. Most have ended before; the timer was set for another."""
        self.timer_set = False
        loop, all_of = asyncio.get_running_loop(), self._loop_limits
        all_of.notice(now := loop.time())
        while self._limits and (self._limits[0].ended or self._limits[0].due(all_of.late) <= now):
            self._limits.popleft().expire(now, all_of.late, all_of.slept)
        if self._limits:
            self._set_timer(loop)


def _asleep_seconds() -> float:
    """For how long the machine has slept since it was started; 0 where it does not say."""
    if _BOOT_CLOCK is None:
        return 0.0
    return time.clock_gettime(_BOOT_CLOCK) - time.clock_gettime(time.CLOCK_MONOTONIC)


_BOOT_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_limits: WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopLimits] = WeakKeyDictionary()
_newest: tuple[Callable[[], asyncio.AbstractEventLoop | None], _LoopLimits] = (
    lambda: None,
    _LoopLimits(),
)
"""The last loop that asked, and its limits: there is hardly ever another loop."""
