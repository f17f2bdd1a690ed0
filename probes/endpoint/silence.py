# SPDX-License-Identifier: Apache-2.0
"""Whether an endpoint only waits: for an address that has not answered for much longer than others
on this line. What waits in silence costs neither processor nor traffic, so that others may be
measured meanwhile; an answer that is merely slow is no silence."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

LEAST_SECONDS, TIMES = 2.0, 4.0
"""An address is silent after so long, and after so many times what an answer usually takes."""
LOOK_SECONDS = 1.0
REMEMBERED = 32
"""Answers that are remembered: a line becomes slower while much crosses it."""


class SilentWaits:
    """The endpoints that wait in silence now."""

    def __init__(self) -> None:
        self.endpoints = 0
        """How many they are."""
        self.on_change: list[Callable[[], None]] = []
        """Called when another one waits."""
        self._took: deque[float] = deque(maxlen=REMEMBERED)

    def answered(self, seconds: float) -> None:
        """Learn how long an address took to answer."""
        self._took.append(seconds)

    @property
    def patience_seconds(self) -> float:
        """After how long an address counts as silent: never, as long as none has answered."""
        return max(LEAST_SECONDS, TIMES * median(self._took)) if self._took else math.inf

    def change(self, by: int) -> None:
        """Count endpoints that begin, or end, to wait in silence."""
        self.endpoints += by
        if by > 0:
            for call in self.on_change:
                call()


class Waits:
    """The waits of one endpoint, which counts once, however many of its addresses are silent."""

    __slots__ = ("_silence", "_silent")

    def __init__(self, silence: SilentWaits) -> None:
        self._silence, self._silent = silence, 0

    @contextmanager
    def answer(self) -> Iterator[None]:
        """Wait for the answer of an address."""
        loop, silent = asyncio.get_running_loop(), False
        began, timer = loop.time(), loop.call_later(LEAST_SECONDS, lambda: look())

        def look() -> None:
            nonlocal silent, timer
            if loop.time() - began < self._silence.patience_seconds:
                timer = loop.call_later(LOOK_SECONDS, look)
            else:
                silent = True
                self._change(1)

        try:
            yield
        finally:
            timer.cancel()
            if silent:
                self._change(-1)

    def _change(self, by: int) -> None:
        before, self._silent = self._silent, self._silent + by
        if not before or not self._silent:
            self._silence.change(by)
