"""Wait for a condition, never for a time that should suffice.

    event = await eventually(lambda: store.event("e1"), "the event is stored")
    wait_until(lambda: process.poll() is not None, "the process ends")

The limit is for a hang alone: a passing test never comes near it, on a loaded machine either.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

HANG_SECONDS = 300.0
"""After this long nothing more will happen, however loaded the machine is."""
PAUSE_SECONDS = 0.02
"""Between two looks."""

T = TypeVar("T")


async def eventually(
    condition: Callable[[], T | Awaitable[T]],
    what: str = "",
    *,
    seconds: float = HANG_SECONDS,
    pause: float = PAUSE_SECONDS,
) -> T:
    """Return the first true value of `condition`, a function or a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        found: T = await value if inspect.isawaitable(value) else value
        if found:
            return found
        assert time.monotonic() < deadline, _late(condition, what, seconds)
        await asyncio.sleep(pause)


def wait_until(
    condition: Callable[[], T],
    what: str = "",
    *,
    seconds: float = HANG_SECONDS,
    pause: float = PAUSE_SECONDS,
) -> T:
    """Return the first true value of `condition`; for code without an event loop."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, _late(condition, what, seconds)
        time.sleep(pause)


def _late(condition: object, what: str, seconds: float) -> str:
    return f"not within {seconds:g} s: {what or condition!r}"
