# SPDX-License-Identifier: Apache-2.0
"""What the volunteer's traffic budget still allows.

A balance grows with time and falls with every byte spent. The interval of rounds is planned from
what rounds usually cost; the balance counts what was really spent, retests included, so that
neither expensive rounds nor requests for retests exceed the budget. A negative balance is a debt:
no round begins before most of it is paid.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from probes.rounds import scheduler
from probes.rounds.profile import Profile

HOUR_MS = 3_600_000
CONNECTION_BYTES_PER_MONTH = 45_000_000
"""Traffic of the connection to the broker when nothing is measured: a heartbeat each minute and
keep-alives are 750 bytes a minute, counted as IP packets over mosquitto 2 with MQTT 5 and TLS 1.3
(2026-11-26), which is 32 MB; asking for the public address each hour and reconnecting are 13 MB."""
MIN_ROUNDS_PER_MONTH = 30
"""Fewer rounds a month would be of no use."""
MAX_DEBT = 0.25
"""Part of a usual round that may still be owed when the next begins: rounds start with a random
delay of up to a minute, so two of them may be a little closer than the interval."""
_NEWEST_WEIGHT = 0.2
"""Weight of the latest round in the expected cost: recent rounds say more than a guess, and one
unusual round little."""


def least_budget(profile: Profile) -> float:
    """Return the smallest monthly budget, in bytes, with which anything can be measured."""
    guess = profile.guessed_bytes(scheduler.DAY_MS)
    return float(CONNECTION_BYTES_PER_MONTH + MIN_ROUNDS_PER_MONTH * guess)


def _monotonic_ms() -> float:
    return time.monotonic() * 1000


class TrafficBudget:
    """The balance of the budget. Amounts are bytes; `clock` returns monotonic milliseconds."""

    def __init__(
        self,
        budget: float,
        profile: Profile,
        interval_ms: int,
        clock: Callable[[], float] = _monotonic_ms,
    ) -> None:
        """`budget` is bytes per month, 0 for no limit; `interval_ms` is that of the rounds."""
        self.expect(profile, interval_ms)
        self._budget, self._clock, self._now_ms = budget, clock, clock()
        self._balance = 0.0
        self._rounds = 0

    def expect(self, profile: Profile, interval_ms: int) -> None:
        """Expect the rounds of this profile from now on."""
        self.round_bytes = float(profile.guessed_bytes(interval_ms))
        """Expected cost of a round."""
        self._retest_bytes = profile.guessed_liveness_bytes()
        self._targets = max(1, len(profile.due(0, interval_ms)))

    @property
    def income(self) -> float:
        """Bytes per millisecond for measuring, after the cost of the connection to the broker."""
        if self._budget <= 0:
            return math.inf
        return max(0.0, (self._budget - CONNECTION_BYTES_PER_MONTH) / scheduler.MONTH_MS)

    def interval_ms(self, *wanted_ms: int) -> int:
        """Return the shortest interval that the budget allows of those that these are lengthened
        to; see `scheduler.within_budget`."""
        return min(
            scheduler.within_budget(each, self.round_bytes, self.income) for each in wanted_ms
        )

    def month_bytes(self, interval_ms: int) -> int:
        """Return the total traffic of a month with rounds at this interval."""
        return scheduler.month_bytes(self.round_bytes, interval_ms) + CONNECTION_BYTES_PER_MONTH

    def spend(self, spent: float) -> None:
        """Subtract from the balance."""
        self._add_income()
        self._balance -= spent

    def spend_round(self, spent: float) -> None:
        """Subtract the cost of a round, and update the expected cost."""
        self.spend(spent)
        weight = _NEWEST_WEIGHT if self._rounds else 1.0
        self._rounds += 1
        self.round_bytes += weight * (spent - self.round_bytes)

    def charge_earlier_round(self, ago_ms: float) -> None:
        """Charge for a round that began this long before the start: what is not paid for yet."""
        if not math.isinf(self.income):
            self._balance -= max(0.0, self.round_bytes - max(0.0, ago_ms) * self.income)

    def overdrawn(self) -> bool:
        """Return whether the debt is too large to begin a round."""
        self._add_income()
        return -self._balance > MAX_DEBT * self.round_bytes

    def affordable_retests(self) -> float:
        """Return how many targets may be measured again now, each with its own liveness. At most
        one hour's income is saved up for retests."""
        if math.isinf(self.income):
            return math.inf
        self._add_income()
        cost = self._retest_bytes + self.round_bytes / self._targets
        return max(0.0, self._balance) / max(1.0, cost)

    def _add_income(self) -> None:
        now = self._clock()
        passed, self._now_ms = max(0.0, now - self._now_ms), now
        if math.isinf(self.income):
            self._balance = 0.0
        else:
            self._balance = min(self._balance + passed * self.income, HOUR_MS * self.income)
