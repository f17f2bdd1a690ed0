# SPDX-License-Identifier: Apache-2.0
"""Two histograms that cannot be computed from the store: lags of ingest and of detection."""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from typing import NamedTuple

BUCKETS_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0, 86400.0)


class Histogram:
    """Cumulative counts by upper bound, in seconds."""

    def __init__(self, bounds: tuple[float, ...] = BUCKETS_SECONDS) -> None:
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float, times: int = 1) -> None:
        """Count a lag; a negative one (wrong clock) counts as 0."""
        seconds = max(0.0, seconds)
        self._counts[bisect.bisect_left(self.bounds, seconds)] += times
        self.sum += seconds * times

    def buckets(self) -> list[tuple[str, float]]:
        """(upper bound as Prometheus writes it, cumulative count), the last one `+Inf`."""
        total, rows = 0, []
        for bound, count in zip((*self.bounds, float("inf")), self._counts, strict=True):
            total += count
            rows.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
        return rows


class Backlog(NamedTuple):
    """How far a detector is behind."""

    measurements: int
    """Of rounds that are over and not judged yet. Measurements that came after their round was
    judged are not counted."""
    seconds: float
    """Since the oldest of these rounds ended, or since the oldest round began that is to be judged
    again for late measurements; 0 when there is none."""
    damaged_batches: int
    """Stored batches that could not be unpacked and were left out."""

    def lines(self) -> Sequence[str]:
        """In words, for `/healthz`; nothing when there is no backlog."""
        if not self.seconds:
            return ()
        return (
            f"detector: {self.measurements} measurements are yet to be judged, "
            f"the oldest of {self.seconds:.0f} s ago",
        )


class Lags:
    """The histograms of this process."""

    def __init__(self) -> None:
        self.ingest = Histogram()
        self.detection = Histogram()
