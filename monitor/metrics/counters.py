# SPDX-License-Identifier: Apache-2.0
"""Counters of one collector process and whether it is ready, for logs, tests and `/readyz`.

The counters in `/metrics` are committed by the store with the rows; these start at zero with the
process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from monitor.metrics.lags import Histogram


class Counters:
    """Written by the collector, read by the rest of the process."""

    def __init__(self, lag: Histogram | None = None) -> None:
        self.ingested = 0
        self.duplicate = 0
        self.conflicting = 0
        self.quarantined: Counter[str] = Counter()
        """By reason (`monitor.collector.admission.QuarantineReason`)."""
        self.acknowledged = 0
        """Batches whose acknowledgement was published."""
        self.too_new = 0
        """Batches of a newer version: their probes keep them."""
        self.clock_behind = 0
        """Batches from the future by the clock of this machine alone, as several owners say: their
        probes keep them."""
        self.clock_wrong = 0
        """Batches of a probe whose clock is wrong, or may be: it keeps them."""
        self.unverified: Counter[str] = Counter()
        """Batches that cannot be verified as those of their probe, which keeps them; by
        `SignatureFault`."""
        self.dropped = 0
        """Batches dropped unacknowledged because memory was full or the probe was far over its
        rate: their probes send them again."""
        self.over_quota = 0
        """Batches refused because the probe's quota of the day is used up: its probe keeps them."""
        self.lag = lag if lag is not None else Histogram()
        """Seconds from the end of a measurement to its commit."""
        self.waiting: Callable[[], tuple[int, int]] = lambda: (0, 0)
        """Messages that wait to be stored, and their bytes."""
        self.broker: str = "not connected yet"
        """Why there is no connection to the broker; empty while connected."""
        self.store: str = ""
        """Why the store is unavailable; empty while it is available."""

    @property
    def unready(self) -> tuple[str, ...]:
        """Why nothing is being collected, one reason a line; empty when ready."""
        reasons = (("broker", self.broker), ("store", self.store))
        return tuple(f"{name}: {reason}" for name, reason in reasons if reason)
