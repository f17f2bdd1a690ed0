# SPDX-License-Identifier: Apache-2.0
"""Rests after work, so that none of it takes more than a part of the detector's time.

A rest is as long as the processor time that the work took, several times over: on a machine that
others keep busy, a rest by the clock would last for minutes.
"""

from __future__ import annotations

import time

import msgspec

FACTOR = 8.0
"""After work, how many times the processor time that it took is rested."""


class Rest(msgspec.Struct, frozen=True):
    """From when to when nothing is done, Unix milliseconds."""

    began: int
    until: int

    def lasts(self, now: int) -> bool:
        """Whether it is not over yet; it is when the clock was set back."""
        return self.began <= now < self.until


NO_REST = Rest(0, 0)


class Work:
    """Work that begins now."""

    def __init__(self, factor: float) -> None:
        """`factor` as FACTOR."""
        self._factor, self._used = factor, time.process_time()

    def rest(self, now: int) -> Rest:
        """The rest after the work, which ends now."""
        used = time.process_time() - self._used
        return Rest(now, now + int(1000 * self._factor * used))
