# SPDX-License-Identifier: Apache-2.0
"""The traffic budgets of simulated vantages, while services beside the simulated one are blocked.

Production code decides when a round is skipped, what it leaves out, and how many retests are paid
for (`probes.rounds.traffic_budget`). What things cost is what the daemon was seen to spend on the
shipped catalogue (`./scripts/bench heard`).
"""

from __future__ import annotations

import functools
import zlib

from probes.catalogue.load import load
from probes.rounds.profile import Profile
from probes.rounds.traffic_budget import TrafficBudget
from probes.wire.target import Catalogue

BUDGET_BYTES = 1e9
"""A month; the default of a volunteer."""
SERVICES = 31
LIVENESS_BYTES, WORKS_BYTES = 45_000, 500_000
"""Of a round: liveness; and all services, as long as they work."""
THOROUGH_BYTES, BRIEF_BYTES = 250_000, 18_000
"""Of a service that fails, with every contrast, and with one."""
EXAMINED_ROUNDS = 16
"""Once in so many rounds a service that fails is examined with every contrast."""
RETEST_BYTES = 40_000
EARLIER_ROUNDS = 96
"""Rounds before the first that is played: the others have been blocked for so long."""


class Purse:
    """The budget of one vantage. Times are Unix milliseconds."""

    def __init__(self, probe: str, interval_ms: int, blocked: int, start_ms: int) -> None:
        """`blocked`: how many other services are."""
        self._interval_ms, self._blocked = interval_ms, blocked
        self._place = zlib.crc32(probe.encode())
        first = zlib.crc32(b"examined " + probe.encode()) % EXAMINED_ROUNDS
        self._examined_ms = start_ms - (EARLIER_ROUNDS + first) * interval_ms
        """When services that fail were last examined with every contrast."""
        self._now_ms = start_ms - EARLIER_ROUNDS * interval_ms
        profile = Profile(_catalogue(), probe)
        self._budget = TrafficBudget(BUDGET_BYTES, profile, interval_ms, self._clock)
        self._budget.round_bytes = float(LIVENESS_BYTES + WORKS_BYTES)
        for number in range(EARLIER_ROUNDS):
            self.measures(start_ms + (number - EARLIER_ROUNDS) * interval_ms, failing=False)

    def measures(self, at_ms: int, *, failing: bool) -> int:
        """Begin a round; returns in how many rounds the simulated service is measured once, 0 where
        this round leaves it out. `failing`: it failed when it was last measured."""
        budget, interval = self._budget, self._interval_ms
        self._now_ms = max(self._now_ms, at_ms)
        if budget.overdrawn(interval):
            return 0
        thin, failing_services = budget.thinning(interval), self._blocked + failing
        number = at_ms // interval + self._place
        since = at_ms - EXAMINED_ROUNDS * interval
        examined = thin == 1 and self._examined_ms <= since and not budget.owes(interval)
        works = WORKS_BYTES * (SERVICES - failing_services) / SERVICES / thin
        fails = BRIEF_BYTES * failing_services
        if examined:  # until the round has carried so much that it becomes brief
            self._examined_ms = at_ms
            fails += min(THOROUGH_BYTES * failing_services, budget.thorough_bytes(interval))
        spent = LIVENESS_BYTES + works + fails
        budget.spend_round(spent, failing=failing_services > 0, thin=thin)
        if failing or number % thin == 0:
            return 1 if failing else thin
        return 0

    def affordable(self, at_ms: int) -> float:
        """How many targets may be measured again."""
        self._now_ms = max(self._now_ms, at_ms)
        return self._budget.affordable_retests()

    def pay_retest(self, at_ms: int) -> None:
        """Measure a target again."""
        self._now_ms = max(self._now_ms, at_ms)
        self._budget.spend_retest(RETEST_BYTES, 1)

    def _clock(self) -> float:
        return float(self._now_ms)


@functools.cache
def _catalogue() -> Catalogue:
    return load(None)
