# SPDX-License-Identifier: Apache-2.0
"""What the volunteer's traffic budget still allows.

A balance grows with time and falls with every byte spent. The interval of rounds is planned from
what rounds cost while nothing fails; the balance counts what was really spent, so that expensive
rounds do not exceed the budget. A negative balance is a debt. What fails costs more than what does
not, and is what the probe is there for: over a debt rounds keep their interval and show briefly
what fails, over a larger one they leave out what works, and only the largest makes the probe skip
one. Retests have a reserve of their own, which is filled while nothing is asked for.
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
UNCOUNTED = 0.03
"""Part of what an interface carries of which the kernel tells nothing: what was on its way when a
connection was closed, and packets of other protocols (docs/evaluation/heard.md)."""
MIN_ROUNDS_PER_MONTH = 30
"""Fewer rounds a month would be of no use."""
THINNED = ((0.35, 2), (0.55, 4), (0.75, 8))
"""Over more than so much of the largest debt, a round leaves out what works: each function is
measured once in so many rounds. The first is more than what one round takes that examines much
(`THOROUGH`), which later ones pay back: where some services are blocked the next may be soon, and
its block must not be what is left out."""
OWED = 0.25
"""Over a debt of more than so many times what comes in from round to round, what is known to fail
is measured briefly. It is not zero because rounds start with a random delay of up to a minute: two
of them may be a little closer than the interval."""
MAX_DEBT, MAX_DEBT_PART = 2.0, 0.005
"""The largest debt with which a round begins: so many times what comes in from round to round, and
no less than this part of a month's budget, which pays for a round in which much begins to fail."""
THOROUGH = 0.3
"""Part of the credit that a round may use before it is brief; where everything fails, the rest of
it costs twice as much once more."""
RESERVED, RESERVE_MS = 0.15, scheduler.DAY_MS
"""Part of the income that goes to the reserve for retests until it holds that of so long."""
RESERVED_IN_DEBT = 1 / 3
"""Part of that reserve up to which it is filled over a debt: rounds that are due come before
retests that nobody has asked for."""
_NEWEST_WEIGHT = 0.2
"""Weight of the latest round in the expected cost: recent rounds say more than a guess, and one
unusual round little."""


def least_budget(profile: Profile) -> float:
    """Return the smallest monthly budget, in bytes, with which anything can be measured."""
    guess = profile.guessed_bytes(scheduler.DAY_MS)
    return float(CONNECTION_BYTES_PER_MONTH + MIN_ROUNDS_PER_MONTH * guess) / (1 - UNCOUNTED)


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
        self._budget, self._clock, self._now_ms = budget, clock, clock()
        self.expect(profile, interval_ms)
        self._balance = 0.0
        self._reserve = self._most_reserved()
        """For retests. Full at the start: a block may be what made somebody start the probe."""
        self._rounds = 0

    def expect(self, profile: Profile, interval_ms: int) -> None:
        """Expect the rounds of this profile from now on."""
        self.round_bytes = float(profile.guessed_bytes(interval_ms))
        """Expected cost of a round."""
        targets = max(1, len(profile.due(0, interval_ms)))
        self._retest_bytes = profile.guessed_liveness_bytes() + self.round_bytes / targets

    @property
    def income(self) -> float:
        """Bytes per millisecond for measuring, after the cost of the connection to the broker."""
        if self._budget <= 0:
            return math.inf
        counted = (1 - UNCOUNTED) * self._budget
        return max(0.0, (counted - CONNECTION_BYTES_PER_MONTH) / scheduler.MONTH_MS)

    @property
    def saved(self) -> float:
        """What is left for rounds and retests as of the last charge; negative for a debt."""
        return self._balance + self._reserve

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

    def spend_round(self, spent: float, *, failing: bool = False, thin: int = 1) -> None:
        """Subtract the cost of a round, and update the expected cost. What something that fails
        costs makes no round rarer, and a round that left out what works (see `thinning`) does not
        show that rounds are cheap."""
        self.spend(spent)
        dearer = spent > self.round_bytes
        if (failing and dearer) or (thin > 1 and not dearer):
            return
        weight = _NEWEST_WEIGHT if self._rounds else 1.0
        self._rounds += 1
        self.round_bytes += weight * (spent - self.round_bytes)

    def spend_retest(self, spent: float, targets: int) -> None:
        """Subtract the cost of measuring so many targets again, from the reserve if it has that."""
        self._add_income()
        reserved = min(spent, self._reserve)
        self._reserve -= reserved
        self._balance -= spent - reserved
        self._retest_bytes += _NEWEST_WEIGHT * (spent / max(1, targets) - self._retest_bytes)

    def charge_earlier_round(self, ago_ms: float) -> None:
        """Charge for a round that began this long before the start: what is not paid for yet."""
        if not math.isinf(self.income):
            self._balance -= max(0.0, self.round_bytes - max(0.0, ago_ms) * self.income)

    def thinning(self, interval_ms: int) -> int:
        """Return in how many rounds at this interval what works is measured once; see `THINNED`."""
        debt, largest = self._debt(interval_ms)[0], self._largest_debt(interval_ms)
        return next((thin for part, thin in reversed(THINNED) if debt > part * largest), 1)

    def owes(self, interval_ms: int) -> bool:
        """Return whether there is a debt over which what is known to fail is measured briefly."""
        debt, share = self._debt(interval_ms)
        return debt > OWED * share

    def overdrawn(self, interval_ms: int) -> bool:
        """Return whether the debt is too large to begin a round of those at this interval."""
        return self._credit(interval_ms) < 0

    def thorough_bytes(self, interval_ms: int) -> float:
        """Return what a round may carry before it has to be brief: so much that the next ones need
        not be skipped."""
        if math.isinf(self.income):
            return math.inf
        return max(THOROUGH * self._credit(interval_ms), self.income * interval_ms)

    def affordable_retests(self) -> float:
        """Return how many targets may be measured again now, each with its own liveness."""
        if math.isinf(self.income):
            return math.inf
        self._add_income()
        return (self._reserve + max(0.0, self._balance)) / max(1.0, self._retest_bytes)

    def _credit(self, interval_ms: int) -> float:
        """How far the debt is from the largest one with which a round begins."""
        return self._largest_debt(interval_ms) - self._debt(interval_ms)[0]

    def _largest_debt(self, interval_ms: int) -> float:
        return max(MAX_DEBT * self.income * interval_ms, MAX_DEBT_PART * self._budget)

    def _debt(self, interval_ms: int) -> tuple[float, float]:
        """What is owed, and what comes in from round to round."""
        self._add_income()
        return max(0.0, -self._balance), self.income * interval_ms

    def _add_income(self) -> None:
        now = self._clock()
        passed, self._now_ms = max(0.0, now - self._now_ms), now
        if math.isinf(self.income):
            self._balance = 0.0
            return
        most = self._most_reserved() * (1.0 if self._balance >= 0 else RESERVED_IN_DEBT)
        reserved = min(RESERVED * passed * self.income, max(0.0, most - self._reserve))
        self._reserve += reserved
        earned = passed * self.income - reserved
        self._balance = min(self._balance + earned, HOUR_MS * self.income)

    def _most_reserved(self) -> float:
        return 0.0 if math.isinf(self.income) else RESERVED * RESERVE_MS * self.income
