# SPDX-License-Identifier: Apache-2.0
"""The account of traffic: what crossed the wire for rounds, retests and the connection to the
monitor, charged to the budget."""

from __future__ import annotations

import time
from collections.abc import Callable

from probes.rounds.scheduler import MONTH_MS
from probes.rounds.traffic_budget import CONNECTION_BYTES_PER_MONTH, TrafficBudget
from probes.runtime.traffic_meter import TrafficMeter


def sent_bytes(line_bytes: int) -> int:
    """Return the bytes sent for measurements of this size: they compress to about a fifth."""
    return line_bytes // 5


class Bill:
    """What one round or retest costs: what its meter counts, and what sending its measurements
    will."""

    def __init__(self, meter: TrafficMeter, expect: Callable[[int], None]) -> None:
        """`expect` is told the bytes that will be sent."""
        self._meter, self._expect = meter, expect
        self._sending = 0

    def add(self, line_bytes: int) -> None:
        """Note a measurement; `line_bytes` is its size when encoded."""
        sending = sent_bytes(line_bytes)
        self._sending += sending
        self._expect(sending)

    def total(self) -> int:
        """Return the bytes so far."""
        return self._meter.total() + self._sending


class TrafficAccount:
    """Charges what was measured when a round or a retest ends, each its own, for they may run
    beside each other. What delivery carries beyond that,
    and beyond what the budget reserves for the connection, is charged with it, but no round is
    expected to cost it: whoever sends to this probe cannot make its rounds rarer by that."""

    def __init__(
        self,
        budget: TrafficBudget,
        measuring: TrafficMeter,
        delivery: TrafficMeter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` returns monotonic seconds."""
        self._budget, self._measuring, self._delivery = budget, measuring, delivery
        self._clock, self._begun = clock, clock()
        self._delivered = 0.0
        """Bytes of delivery that are charged or on a bill."""

    def wire_bytes(self) -> int:
        """Return what has crossed the wire since the start."""
        return self._measuring.total() + self._delivery.total()

    def saved(self) -> float:
        """Return what the budget has left, negative for a debt."""
        return self._budget.saved

    def open(self, meter: TrafficMeter) -> Bill:
        """Open the bill of a round or retest whose traffic this meter counts."""
        return Bill(meter, self._expect)

    def close_round(self, bill: Bill, *, usual: bool, failing: bool = False, thin: int = 1) -> None:
        """Charge a round. `usual`: the next ones are expected to cost about the same; `failing`
        and `thin`: as in `TrafficBudget.spend_round`."""
        if usual:
            self._budget.spend_round(bill.total(), failing=failing, thin=thin)
        else:
            self._budget.spend(bill.total())
        self._charge_delivery()

    def close_retest(self, bill: Bill, targets: int) -> None:
        """Charge a retest of so many targets."""
        self._budget.spend_retest(bill.total(), targets)
        self._charge_delivery()

    def _expect(self, sending: int) -> None:
        self._delivered += sending

    def _charge_delivery(self) -> None:
        reserved = CONNECTION_BYTES_PER_MONTH * (self._clock() - self._begun) * 1000 / MONTH_MS
        further = self._delivery.total() - reserved - self._delivered
        if further > 0:
            self._delivered += further
            self._budget.spend(further)
