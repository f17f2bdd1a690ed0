# SPDX-License-Identifier: Apache-2.0
"""How much one probe may send: a rate, which delays its acknowledgements, and a quota a day.

What counts is the work that a batch makes, and not what its sender says it holds: its lines and
its bytes after decompression, whichever is more. Nothing that goes over either limit is lost: it
was not acknowledged, so the probe keeps it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

MAX_PROBES = 20_000
RATE = 100.0
"""Units a second in the long run: a probe of 100 targets in 5 minutes makes 0.3."""
BURST = 5000.0
"""Units at once: a spool that drains after hours offline."""
UNIT_BYTES = 2048
"""Decompressed bytes that count as much as a line. A line has some 1,200."""
MALFORMED_UNITS = 20
"""The least that a batch costs that cannot be read: it is kept in the quarantine."""
DAY_SECONDS = 86_400.0
DAY_BYTES = 512 << 20
"""Decompressed bytes a day. A probe with the whole catalogue every five minutes makes 40 MiB, and a
spool that drains after a week offline 280 MiB."""
_Row = TypeVar("_Row")


def units(lines: int, size: int) -> int:
    """What a batch of `lines` measurements and `size` decompressed bytes costs."""
    return max(1, lines, size // UNIT_BYTES)


class RateLimits:
    """Token buckets, one a probe. A probe that sends too much gets its acknowledgements later.

    A probe sends a few unacknowledged batches and then waits, so a delayed acknowledgement is
    backpressure and loses nothing. Batches of a probe that ignores it are dropped beyond a second
    limit.
    """

    def __init__(self, rate: float = RATE, burst: float = BURST) -> None:
        self._rate, self._burst = rate, burst
        self._levels: dict[str, tuple[float, float]] = {}
        """Probe -> (tokens, when they were counted)."""

    def is_blocked(self, probe: str, now: float) -> bool:
        """Whether the probe is a whole burst in debt, so that its batches are dropped unread.
        `now` is in seconds of any monotonic clock."""
        return self._tokens(probe, now) <= -self._burst

    def charge(self, probe: str, cost: int, now: float) -> float:
        """Take tokens for a batch; return the seconds by which to delay its acknowledgement."""
        tokens = self._tokens(probe, now) - max(1, cost)
        _put_last(self._levels, probe, (tokens, now))
        return max(0.0, -tokens / self._rate)

    def _tokens(self, probe: str, now: float) -> float:
        tokens, counted = self._levels.get(probe, (self._burst, now))
        return min(self._burst, tokens + (now - counted) * self._rate)


class DailyQuota:
    """Decompressed bytes a day, for each probe."""

    def __init__(self, most: int = DAY_BYTES) -> None:
        self.most = most
        self._used: dict[str, tuple[float, int, bool]] = {}
        """Probe -> (when its day began, bytes, whether the refusal was reported)."""

    def charge(self, probe: str, size: int, now: float) -> None:
        """Count a batch that was taken."""
        began, used, reported = self._day(probe, now)
        _put_last(self._used, probe, (began, used + size, reported))

    def is_exhausted(self, probe: str, now: float) -> bool:
        """Whether batches of this probe are refused, unread, until its day is over."""
        return self._day(probe, now)[1] >= self.most

    def report_once(self, probe: str, report: Callable[[], None], now: float) -> None:
        """Call `report` for the first refusal of a probe's day."""
        began, used, reported = self._day(probe, now)
        if not reported:
            _put_last(self._used, probe, (began, used, True))
            report()

    def _day(self, probe: str, now: float) -> tuple[float, int, bool]:
        began, used, reported = self._used.get(probe, (now, 0, False))
        return (now, 0, False) if now - began >= DAY_SECONDS else (began, used, reported)


def _put_last(rows: dict[str, _Row], probe: str, row: _Row) -> None:
    """Insertion order is that of last use, and the least recent goes when there are too many."""
    rows.pop(probe, None)
    rows[probe] = row
    if len(rows) > MAX_PROBES:
        del rows[next(iter(rows))]
