# SPDX-License-Identifier: Apache-2.0
"""What the volunteer's traffic budget still allows: income by time, what was spent taken off.

The interval of rounds is planned by what they usually cost; the purse counts what was spent indeed,
retests included, so that no dear round, no series of them and nobody who asks for retests takes
more than the budget. What is spent beyond it is a debt, and no round begins before it is paid.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from probes.rounds import scheduler
from probes.wire.target import Catalogue

HOUR_MS = 3_600_000
STANDING_BYTES_A_MONTH = 45_000_000
"""Of the connection to the broker, with nothing measured: a heartbeat a minute and keep-alives.
Measured as IP packets over mosquitto 2 with MQTT 5 and TLS 1.3, 750 bytes a minute (2026-11-26),
that is 32 MB, and 13 MB for the look at the own address each hour and for connecting anew."""
LEAST_ROUNDS = 30
"""Of a month: fewer tell nobody anything."""
PAID = 0.25
"""Part of a usual round that may still be owed when the next begins: rounds begin by chance up to
a minute late, so that two of them may lie a little closer than their interval."""
_NEWEST = 0.2
"""Weight of the last round in the estimate of the next: the last rounds tell more of the traffic
than a guess, and one odd round little."""


def least_budget(catalogue: Catalogue) -> float:
    """Bytes a month below which a budget cannot be kept, or only by not measuring."""
    guess = scheduler.guessed_bytes(catalogue, catalogue.targets)
    return float(STANDING_BYTES_A_MONTH + LEAST_ROUNDS * guess)


def _monotonic_ms() -> float:
    return time.monotonic() * 1000


class Purse:
    """Amounts are bytes; `clock` gives any milliseconds that only grow."""

    def __init__(
        self, budget: float, catalogue: Catalogue, clock: Callable[[], float] = _monotonic_ms
    ) -> None:
        """`budget` is a month's, 0 for no limit."""
        self.round_bytes = float(scheduler.guessed_bytes(catalogue, catalogue.targets))
        """What a round usually costs."""
        self._retest_bytes = scheduler.guessed_bytes(catalogue, ())
        self._targets = max(1, len(catalogue.targets))
        self._budget, self._clock, self._now_ms = budget, clock, clock()
        self._balance = 0.0
        self._rounds = 0

    @property
    def income(self) -> float:
        """Bytes a millisecond for measuring: the connection to the broker is paid already."""
        if self._budget <= 0:
            return math.inf
        return max(0.0, (self._budget - STANDING_BYTES_A_MONTH) / scheduler.MONTH_MS)

    def interval_ms(self, wished_ms: int) -> int:
        """The interval that the budget allows; see `scheduler.within_budget`."""
        return scheduler.within_budget(wished_ms, self.round_bytes, self.income)

    def month_bytes(self, interval_ms: int) -> int:
        """All traffic of a month of rounds at this interval."""
        return scheduler.month_bytes(self.round_bytes, interval_ms) + STANDING_BYTES_A_MONTH

    def spend(self, spent: float) -> None:
        """Take it off."""
        self._earn()
        self._balance -= spent

    def spend_round(self, spent: float) -> None:
        """Take a round off, and learn from it what rounds cost."""
        self.spend(spent)
        weight = _NEWEST if self._rounds else 1.0
        self._rounds += 1
        self.round_bytes += weight * (spent - self.round_bytes)

    def recall_round(self, ago_ms: float) -> None:
        """A round began so long before this purse was made: take off what is not paid yet."""
        if not math.isinf(self.income):
            self._balance -= max(0.0, self.round_bytes - max(0.0, ago_ms) * self.income)

    def owes(self) -> bool:
        """More is owed than a round may begin with."""
        self._earn()
        return -self._balance > PAID * self.round_bytes

    def room(self) -> float:
        """How many targets may be measured again now, each with liveness of its own; what is
        saved for that is never more than the income of an hour."""
        if math.isinf(self.income):
            return math.inf
        self._earn()
        cost = self._retest_bytes + self.round_bytes / self._targets
        return max(0.0, self._balance) / max(1.0, cost)

    def _earn(self) -> None:
        now = self._clock()
        passed, self._now_ms = max(0.0, now - self._now_ms), now
        if math.isinf(self.income):
            self._balance = 0.0
        else:
            self._balance = min(self._balance + passed * self.income, HOUR_MS * self.income)
