# SPDX-License-Identifier: Apache-2.0
"""Rests after work that is repeated when more arrives: what arrives meanwhile is gathered, and the
work done once for all of it. When nothing arrives any more there is nothing to gather.

A rest is as long as the processor time that the work took, several times over: on a machine that
others keep busy, a rest by the clock would last for minutes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

FACTOR = 8.0
"""After work, how many times the processor time that it took is rested at most."""
QUIET_MS = 3000
"""When nothing has arrived for so long, and for as long as the work took, nothing more is gathered:
what arrives next waits for no more work than it would after a whole rest."""


class Rest(msgspec.Struct, frozen=True):
    """From when to when nothing is done, Unix milliseconds."""

    began: int
    until: int
    quiet: int = QUIET_MS
    """It is over when nothing has arrived for so long."""

    def lasts(self, now: int) -> bool:
        """Whether it is not over yet; it is when the clock was set back."""
        return self.began <= now < self.until

    def gathers(self, now: int, arrived: int) -> bool:
        """Whether it lasts and more may arrive, when something arrived last at a time."""
        return self.lasts(now) and now - arrived < self.quiet


NO_REST = Rest(0, 0)


class Work:
    """Work that begins now."""

    def __init__(self, factor: float) -> None:
        """`factor` as FACTOR."""
        self._factor, self._began = factor, time.process_time()

    @contextmanager
    def once(self) -> Iterator[None]:
        """A part of the work that is done once, whatever arrives: nothing is rested for it."""
        began = time.process_time()
        yield
        self._began += time.process_time() - began

    def rest(self, now: int) -> Rest:
        """The rest after the work, which ends now."""
        used = int(1000 * (time.process_time() - self._began))
        return Rest(now, now + int(self._factor * used), max(QUIET_MS, used))
