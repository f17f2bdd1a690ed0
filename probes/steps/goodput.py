# SPDX-License-Identifier: Apache-2.0
"""How fast bytes arrive on one connection, apart from how far away they come from. No I/O.

The far side sends a burst, then waits a round trip for our acknowledgement, and only then learns
that it may send more: on a long way a short transfer consists of such waits, and says nothing of
what the path could carry. So there are two figures beside the plain time.

- `rate`: over the second half of the bytes, when the sender has found its speed, without waits
  that a round trip explains: those after a burst or after a request of ours, as long as half a
  round trip at least, and no more of them than a whole one.
- `pace`: how fast the middle byte came after the one before it. A narrow place spaces all packets
  evenly; where only distance and loss are in the way, most bytes follow the last ones at once.

A shaper shows in both. A policer, which drops what is too much, shows in the first alone; and on a
lossy line the second alone is free of what losses cost.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

from probes.wire.observation import Progress

BURST_BYTES = 4096
"""Three full segments of 1,448 bytes: what a sender may have under way in bad times."""
MOST_POINTS = 32
_STEPS = 8
"""Rates are sorted into so many classes an octave."""
FASTEST = 1_000_000_000
"""Bytes a second; more is not told apart."""


class _Point(NamedTuple):
    at_us: int
    received_bytes: int
    waits_us: int


class Flow:
    """What has arrived on one connection since the first request. Times are microseconds of one
    clock; `round_trip_us` is what opening the connection took."""

    def __init__(self, begin_us: int, round_trip_us: int) -> None:
        self._begin_us = self._last_us = begin_us
        self._round_trip_us = round_trip_us
        self._classes: Counter[int] = Counter()
        self._waits_us = 0
        self._since = self._asked = 0
        self._every = 1
        self._skipped = 0
        self._points: list[_Point] = []
        self.received_bytes = 0
        self.first_us = 0
        """From the first request to the first byte."""
        self.silence_us = 0

    def asked(self) -> None:
        """A request goes out now: its answer takes a round trip."""
        self._asked += 1

    def arrived(self, now_us: int, size: int) -> None:
        """So many bytes are here."""
        gap = now_us - self._last_us
        if not self.received_bytes:
            self.first_us = self._waits_us = gap
            self._asked = max(0, self._asked - 1)
        else:
            self.silence_us = max(self.silence_us, gap)
            burst = self._since >= BURST_BYTES
            explained = self.first_us if self._asked else min(self.first_us, self._round_trip_us)
            if 2 * gap >= explained and (burst or self._asked):
                self._waits_us += min(gap, explained)
                self._asked = max(0, self._asked - 1)
                self._since = 0
        rate = min(size * 1_000_000 // max(1, gap), FASTEST)
        self._classes[math.floor(_STEPS * math.log2(max(1, rate)))] += size
        self._last_us = now_us
        self._since += size
        self.received_bytes += size
        self._note()

    def ended(self, now_us: int) -> None:
        """Nothing more is waited for."""
        if self.received_bytes:
            self.silence_us = max(self.silence_us, now_us - self._last_us)

    def rate(self, now_us: int) -> int:
        """Bytes a second over the second half of what has come until now; 0 when nothing has."""
        if not self.received_bytes:
            return 0
        half = self.received_bytes // 2
        from_ = _Point(0, 0, 0)
        for point in self._points:
            if point.received_bytes > half:
                break
            from_ = point
        took_us = now_us - self._begin_us - from_.at_us - (self._waits_us - from_.waits_us)
        late = self.received_bytes - from_.received_bytes
        return min(late * 1_000_000 // max(1, took_us), FASTEST)

    @property
    def pace(self) -> int:
        """Bytes a second at which the middle byte came; 0 when there was none."""
        seen = 0
        for rate in sorted(self._classes):
            seen += self._classes[rate]
            if 2 * seen >= self.received_bytes:
                return int(2 ** (rate / _STEPS))
        return 0

    @property
    def progress(self) -> tuple[Progress, ...]:
        """How far it had come when, thinned out; the last point is exact."""
        if not self.received_bytes:
            return ()
        last = Progress(self._last_us - self._begin_us, self.received_bytes)
        points = [Progress(point.at_us, point.received_bytes) for point in self._points]
        kept = points[:-1] if points[-1:] == [last] else points
        return (*kept[: MOST_POINTS - 1], last)

    def _note(self) -> None:
        """Keep every so manieth point; when there are too many, every second of them."""
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        self._points.append(
            _Point(self._last_us - self._begin_us, self.received_bytes, self._waits_us)
        )
        if len(self._points) >= MOST_POINTS:
            self._points = self._points[1::2]
            self._every *= 2
