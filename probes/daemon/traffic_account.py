# SPDX-License-Identifier: Apache-2.0
"""The account of traffic: what rounds, retests and repeated batches cost, charged to the budget."""

from __future__ import annotations

from probes.delivery.outbox import DeliveryStats
from probes.rounds.traffic_budget import TrafficBudget
from probes.rounds.traffic_cost import sent_bytes, spent_bytes
from probes.wire.measurement import Measurement


class TrafficAccount:
    """Charges what is measured. A round is charged as a whole when it ends, a retest at once."""

    def __init__(self, budget: TrafficBudget, stats: DeliveryStats) -> None:
        """`stats` counts what was published."""
        self._budget, self._stats = budget, stats
        self._paid_bytes = 0
        """Bytes of batches that are paid for."""
        self._round_bytes = self._round_lines = 0

    def open_round(self) -> None:
        """Begin to add up a round."""
        self._round_bytes = self._round_lines = 0

    def add(self, measurement: Measurement, line_bytes: int) -> None:
        """Add a measurement of the round in progress; `line_bytes` is its size when encoded."""
        self._round_lines += line_bytes
        self._round_bytes += spent_bytes(measurement, line_bytes)

    def close_round(self, *, usual: bool) -> None:
        """Charge the round. `usual`: the next ones are expected to cost about the same."""
        # Batches that were sent again count as well.
        before, self._paid_bytes = self._paid_bytes, self._stats.published_bytes
        again = max(0, self._paid_bytes - before - sent_bytes(self._round_lines))
        spend = self._budget.spend_round if usual else self._budget.spend
        spend(self._round_bytes + again)

    def charge_retest(self, measurement: Measurement, line_bytes: int) -> None:
        """Charge a measurement that was asked for."""
        self._budget.spend(spent_bytes(measurement, line_bytes))
        # Already paid here: the next round must not pay for sending it again.
        self._paid_bytes += sent_bytes(line_bytes)
