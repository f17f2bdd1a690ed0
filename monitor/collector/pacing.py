# SPDX-License-Identifier: Apache-2.0
"""Token buckets, one a probe: who sends too much gets its acknowledgements later. Pure.

A probe sends a few unacknowledged batches and then waits, so a delayed acknowledgement is
backpressure and loses nothing. Who ignores it is not taken from at all beyond a second bound:
not acknowledged means that the probe keeps it.
"""

from __future__ import annotations

RATE = 100.0
"""Measurements a second in the long run: a probe of 100 targets in 5 minutes makes 0.3."""
BURST = 5000.0
"""Measurements at once: a spool that drains after hours offline."""
MAX_BUCKETS = 20_000


class Buckets:
    """Remembers what each probe may still send."""

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self._rate, self._burst = rate, burst
        self._levels: dict[str, tuple[float, float]] = {}
        """Probe -> (tokens, when they were counted)."""

    def exhausted(self, probe: str, now: float) -> bool:
        """Whether the probe is a whole burst in debt: do not even look at what it sends.
        `now` in seconds of any steady clock."""
        return self._tokens(probe, now) <= -self._burst

    def take(self, probe: str, measurements: int, now: float) -> float:
        """Take tokens for a batch; the seconds by which its acknowledgement is delayed."""
        tokens = self._tokens(probe, now) - max(1, measurements)
        self._levels.pop(probe, None)
        self._levels[probe] = (tokens, now)
        if len(self._levels) > MAX_BUCKETS:
            # Insertion order is that of last use.
            del self._levels[next(iter(self._levels))]
        return max(0.0, -tokens / self._rate)

    def _tokens(self, probe: str, now: float) -> float:
        tokens, counted = self._levels.get(probe, (self._burst, now))
        return min(self._burst, tokens + (now - counted) * self._rate)
