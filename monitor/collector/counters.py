# SPDX-License-Identifier: Apache-2.0
"""What one collector process counts and whether it is ready, for logs, tests and `/readyz`.

The counters of `/metrics` are those that the store commits with the rows; these are of this
process alone and start at zero.
"""

from __future__ import annotations

from collections import Counter

from monitor.metrics.lags import Histogram


class Counters:
    """Filled by the collector, read by anyone in the process."""

    def __init__(self, lag: Histogram | None = None) -> None:
        self.ingested = 0
        self.duplicate = 0
        self.conflicting = 0
        self.quarantined: Counter[str] = Counter()
        """By reason (`monitor.collector.admission.REASONS`)."""
        self.acknowledged = 0
        """Batches whose acknowledgement was published."""
        self.too_new = 0
        """Batches of a later version: they wait at their probes."""
        self.dropped = 0
        """Batches let go without acknowledgement because memory was full or the probe was far
        over its rate: their probes send them again."""
        self.lag = lag if lag is not None else Histogram()
        """Seconds from the end of a measurement to its commit."""
        self.broker: str = "not connected yet"
        """Why there is no broker; empty while connected."""
        self.store: str = ""
        """Why the store takes nothing; empty while it does."""

    @property
    def unready(self) -> tuple[str, ...]:
        """Why nothing is being collected, one reason a line; empty when all is well."""
        reasons = (("broker", self.broker), ("store", self.store))
        return tuple(f"{name}: {reason}" for name, reason in reasons if reason)
