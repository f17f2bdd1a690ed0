"""The budgets of simulated vantages: thin where others are blocked, never of what fails."""

from __future__ import annotations

import pytest

from benchmarks.world import purses
from benchmarks.world.purses import Purse

START, INTERVAL_MS = 1_800_000_000_000, 1_800_000


def rounds(blocked: int, *, failing: bool, count: int = 96) -> list[int]:
    purse = Purse("p-1", INTERVAL_MS, blocked, START)
    return [purse.measures(START + n * INTERVAL_MS, failing=failing) for n in range(count)]


def test_while_nothing_is_blocked_each_round_measures_everything() -> None:
    assert set(rounds(0, failing=False)) == {1}


@pytest.mark.parametrize("blocked", [2, 6, 12])
def test_where_some_services_are_blocked_the_others_are_in_every_round(blocked: int) -> None:
    assert set(rounds(blocked, failing=False, count=960)) == {1}


@pytest.mark.parametrize("blocked", [5, 30])
def test_what_fails_is_in_every_round_however_much_is_blocked(blocked: int) -> None:
    assert set(rounds(blocked, failing=True)) == {1}


def test_what_works_is_left_out_of_some_rounds_where_the_budget_is_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purses, "BUDGET_BYTES", 8e8)
    measured = rounds(12, failing=False)
    assert 0 in measured
    assert all(thin in (0, 1, 2, 4, 8) for thin in measured)
    assert sum(map(bool, measured)) > len(measured) / 10


def test_retests_are_paid_for_until_the_reserve_is_used_up() -> None:
    purse = Purse("p-1", INTERVAL_MS, 30, START)
    answered = 0
    while purse.affordable(START) >= 1:
        purse.pay_retest(START)
        answered += 1
    assert 60 < answered < 200, "those of a day"
    assert purse.affordable(START + 48 * INTERVAL_MS) > answered / 3
