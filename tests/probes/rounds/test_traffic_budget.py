"""The traffic budget holds, whatever rounds cost and whoever asks for retests."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.rounds import scheduler
from probes.rounds.profile import Profile
from probes.rounds.traffic_budget import (
    CONNECTION_BYTES_PER_MONTH,
    MAX_DEBT,
    MAX_DEBT_PART,
    RESERVE_MS,
    RESERVED,
    RESERVED_IN_DEBT,
    THOROUGH,
    TrafficBudget,
    least_budget,
)
from probes.wire.target import Catalogue, Endpoint, LivenessHost, Service, Target

INTERVAL_MS = 300_000
MINUTE = 60_000
ENDPOINT = Endpoint(host="a", port=443, protocol="https")
TARGETS = tuple(Target(id=f"a/{n}", endpoints=(ENDPOINT,)) for n in range(100))
LIVENESS = LivenessHost(host="x", port=443, protocol="tls", scope="international")
CATALOGUE = Catalogue(
    version="", services=(Service(id="a", name="A", targets=TARGETS),), liveness=(LIVENESS,)
)
PROFILE = Profile(CATALOGUE, "p", full=True)
GUESS = PROFILE.guessed_bytes(INTERVAL_MS)


class Month:
    """A probe's month: rounds as the daemon begins them, and retests as often as there is room."""

    def __init__(self, monthly: float) -> None:
        self.now = 1_800_000_000_000
        self.budget = TrafficBudget(monthly, PROFILE, INTERVAL_MS, lambda: self.now)
        self.spent = self.rounds = self.retests = 0
        self.most_expensive = 0.0
        self.rng = random.Random(1)

    def run(
        self, costs: list[float], retest: float, days: int = 30, *, failing: bool = False
    ) -> None:
        """`costs` of rounds, in turn; each retest costs `retest` bytes, whatever was expected."""
        last, begun = None, self.now
        while self.now - begun < days * scheduler.DAY_MS:
            interval = self.budget.interval_ms(INTERVAL_MS)
            plan = scheduler.next_round(self.now, interval, last, self.rng)
            while self.now < plan.start_ms:
                self.now = min(self.now + MINUTE, plan.start_ms)
                if retest and self.budget.affordable_retests() >= 1:
                    self.budget.spend_retest(retest, 1)
                    self.spent += retest
                    self.retests += 1
            if self.now - begun >= days * scheduler.DAY_MS:
                break
            last = plan.round_ms
            if self.budget.overdrawn(interval):
                continue
            cost = costs[self.rounds % len(costs)]
            self.budget.spend_round(cost, failing=failing)
            self.spent += cost
            self.rounds += 1
            self.most_expensive = max(self.most_expensive, cost)


@pytest.mark.slow
@given(
    budget=st.floats(1e8, 3e10),
    costs=st.lists(st.floats(1e5, 2e7), min_size=1, max_size=8),
    retest=st.sampled_from([0.0, 1e4, 1e6, 1e7]),
    failing=st.booleans(),
)
def test_a_month_stays_within_the_budget(
    budget: float, costs: list[float], retest: float, failing: bool
) -> None:
    month = Month(budget)
    month.run(costs, retest, failing=failing)
    share = month.budget.income * month.budget.interval_ms(INTERVAL_MS)
    debt = max(MAX_DEBT * share, MAX_DEBT_PART * budget)
    reserve = RESERVED * RESERVE_MS * month.budget.income
    over = debt + reserve + month.most_expensive + retest + month.budget.income * 3_600_000
    assert month.spent + CONNECTION_BYTES_PER_MONTH <= budget + over
    assert month.rounds >= 1


def test_most_of_the_budget_is_used() -> None:
    for budget in (2e8, 1e9, 5e9):
        month = Month(budget)
        month.run([0.8 * GUESS, GUESS, 1.3 * GUESS], 0.0)
        assert month.spent > 0.5 * (budget - CONNECTION_BYTES_PER_MONTH)


def test_no_limit() -> None:
    month = Month(0)
    month.run([1e9], 1e9, days=1)
    assert month.rounds >= 287
    assert (month.budget.income, month.budget.affordable_retests()) == (math.inf, math.inf)


def _budget(monthly: float, clock_ms: list[float]) -> TrafficBudget:
    return TrafficBudget(monthly, PROFILE, INTERVAL_MS, lambda: clock_ms[0])


def test_retests_have_a_reserve_that_rounds_cannot_spend() -> None:
    clock_ms = [0.0]
    budget = _budget(1e9, clock_ms)
    budget.spend_round(1e9, failing=True)
    assert budget.overdrawn(INTERVAL_MS)
    reserve = RESERVED * RESERVE_MS * budget.income
    cost = GUESS / 100 + PROFILE.guessed_liveness_bytes()
    assert budget.affordable_retests() == pytest.approx(reserve / cost)
    budget.spend_retest(reserve, int(reserve / cost))
    assert budget.affordable_retests() == 0
    clock_ms[0] += scheduler.DAY_MS / 4
    assert budget.affordable_retests() == pytest.approx(reserve / 4 / cost, rel=0.01)
    clock_ms[0] += scheduler.DAY_MS
    most = RESERVED_IN_DEBT * reserve
    assert budget.affordable_retests() == pytest.approx(most / cost, rel=0.01), "rounds are due"


def test_where_everything_fails_rounds_keep_their_interval_over_a_reserve_in_part() -> None:
    """What such rounds cost, next to what comes in, is that of docs/evaluation/heard.md."""
    clock_ms, interval = [0.0], 1_800_000
    budget = _budget(1e9, clock_ms)
    budget.spend(0.7 * MAX_DEBT_PART * 1e9)
    budget.spend_retest(RESERVED * RESERVE_MS * budget.income, 60)
    begun = 0
    for _ in range(48):
        clock_ms[0] += interval
        if not budget.overdrawn(interval):
            budget.spend_round(1.02 * budget.income * interval, failing=True)
            begun += 1
    assert begun >= 0.95 * 48


def test_what_retests_cost_is_learned() -> None:
    clock_ms = [0.0]
    budget = _budget(1e9, clock_ms)
    before = budget.affordable_retests()
    budget.spend_retest(1, 1)
    assert budget.affordable_retests() == pytest.approx(before / 0.8, rel=0.01)


def test_over_a_debt_rounds_leave_out_what_works_before_one_is_skipped() -> None:
    clock_ms = [0.0]
    budget = _budget(1e9, clock_ms)
    most = MAX_DEBT_PART * 1e9
    seen = []
    for _ in range(12):
        seen.append((budget.thinning(INTERVAL_MS), budget.overdrawn(INTERVAL_MS)))
        budget.spend(most / 10)
    assert [thin for thin, _ in seen] == [1, 1, 1, 1, 2, 2, 4, 4, 8, 8, 8, 8]
    assert [over for _, over in seen].index(True) == 11
    clock_ms[0] += 100 * INTERVAL_MS
    assert (budget.thinning(INTERVAL_MS), budget.overdrawn(INTERVAL_MS)) == (1, False)


@pytest.mark.parametrize("interval", [INTERVAL_MS, 1_800_000, 7_200_000, scheduler.DAY_MS])
def test_after_a_round_that_examines_much_the_next_leaves_out_nothing_that_works(
    interval: int,
) -> None:
    clock_ms = [0.0]
    budget = _budget(1e9, clock_ms)
    budget.spend_round(budget.thorough_bytes(interval), failing=True)
    assert budget.owes(interval), "until this is paid back, what fails is shown briefly"
    clock_ms[0] += interval
    assert budget.thinning(interval) == 1
    clock_ms[0] += 15 * interval
    assert not budget.owes(interval)


def test_a_round_may_carry_less_the_larger_the_debt_and_never_less_than_comes_in() -> None:
    clock_ms = [0.0]
    budget = _budget(1e9, clock_ms)
    share, credit = budget.income * INTERVAL_MS, MAX_DEBT_PART * 1e9
    assert budget.thorough_bytes(INTERVAL_MS) == pytest.approx(THOROUGH * credit)
    budget.spend(credit / 2)
    assert budget.thorough_bytes(INTERVAL_MS) == pytest.approx(THOROUGH * credit / 2)
    budget.spend(credit)
    assert budget.thorough_bytes(INTERVAL_MS) == pytest.approx(share)
    assert _budget(0, clock_ms).thorough_bytes(INTERVAL_MS) == math.inf


def test_what_fails_makes_no_round_rarer() -> None:
    month = Month(1e9)
    month.budget.spend_round(GUESS / 2)
    usual = month.budget.interval_ms(INTERVAL_MS)
    month.budget.spend_round(10 * GUESS, failing=True)
    month.budget.spend_round(10, thin=4)
    assert month.budget.interval_ms(INTERVAL_MS) == usual
    month.budget.spend_round(10 * GUESS)
    assert month.budget.interval_ms(INTERVAL_MS) > usual


def test_a_restart_does_not_forget_the_round_before() -> None:
    month = Month(least_budget(PROFILE))
    month.budget.charge_earlier_round(3_600_000)
    assert month.budget.thinning(scheduler.DAY_MS) > 1
    month.now += scheduler.DAY_MS
    assert month.budget.thinning(scheduler.DAY_MS) == 1


def test_the_purse_learns() -> None:
    month = Month(1e9)
    month.budget.spend_round(10 * GUESS)
    assert month.budget.round_bytes == 10 * GUESS
    month.budget.spend_round(0)
    assert month.budget.round_bytes == 8 * GUESS
