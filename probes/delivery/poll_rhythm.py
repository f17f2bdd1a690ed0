# SPDX-License-Identifier: Apache-2.0
"""How often a probe without a broker asks what the monitor wants. Pure: the clock is an argument.

A request to measure again can be met for a minute. Whoever asks every two minutes misses most of
them, and whoever always asks every 20 seconds pays for them on every quiet day: so a probe asks
often while something is suspected, by itself or by the monitor.
"""

from __future__ import annotations

import time
from collections.abc import Callable

SUSPECT_SECONDS = 600.0
"""For so long after the last sign of a block: the time in which it is confirmed."""
BURST, HOURLY = 120, 20
"""Early requests at once, and in each hour beyond that. The monitor can make a probe ask early, and
the volunteer pays: 2 kB each, 29 MB a month at most."""


class PollRhythm:
    """Says when the next request is due."""

    def __init__(
        self, usual: float, early: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Seconds between requests: usually, and while something is suspected."""
        self._usual, self._early, self._clock = usual, early, clock
        self._polled = self._earned = clock()
        self._suspected_until, self._left = float("-inf"), float(BURST)

    def suspect(self) -> None:
        """Ask early for a while: something begins to fail here, or others are asked about it."""
        self._suspected_until = self._clock() + SUSPECT_SECONDS

    def polled(self) -> None:
        """Note that the monitor was asked."""
        now = self._clock()
        self._left = min(self._left + (now - self._earned) * HOURLY / 3600, BURST)
        if now < self._suspected_until and now - self._polled < self._usual:
            self._left = max(self._left - 1, 0.0)
        self._polled = self._earned = now

    def seconds_left(self) -> float:
        """Return how long to wait until the next request; 0 or less when it is due."""
        now = self._clock()
        is_early = now < self._suspected_until and self._left >= 1
        return self._polled + (self._early if is_early else self._usual) - now
