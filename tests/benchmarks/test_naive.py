from __future__ import annotations

from benchmarks.world.naive import IN_A_ROW, OONI, WINDOW, Naive
from tests.monitor.detection.worlds import (
    DOWN,
    INTERVAL,
    OFFLINE,
    START,
    UNCONTROLLED,
    Verdict,
    blocked,
    fact,
    ok,
    vantages,
)


def fed(rules: Naive, n: int, *said: Verdict) -> set[str]:
    round = START + n * INTERVAL
    return rules.feed(
        round, [fact(who, round, v) for who, v in zip(vantages(len(said)), said, strict=True)]
    )


def test_three_in_a_row_of_one_vantage() -> None:
    rules = Naive()
    assert fed(rules, 0, blocked(), ok()) == set()
    assert fed(rules, 1, blocked(), ok()) == set()
    assert fed(rules, 2, blocked(), ok()) == {IN_A_ROW}
    assert fed(rules, 3, ok(), ok()) == set()


def test_what_the_control_does_not_pass_is_left_out() -> None:
    rules = Naive()
    for n in range(40):
        assert fed(rules, n, DOWN, OFFLINE, UNCONTROLLED) == set()


def test_more_than_half_of_an_hour_with_enough_measurements() -> None:
    rules = Naive()
    found = [fed(rules, n, *([ok()] * 3 if n < 6 else [blocked()] * 3)) for n in range(20)]
    first = next(n for n, names in enumerate(found) if WINDOW in names)
    assert first == 12


def test_ooni_takes_six_hours_of_nothing_but_failures() -> None:
    rules = Naive()
    found = [fed(rules, n, *[blocked()] * 3) for n in range(12 * 8)]
    first = next(n for n, names in enumerate(found) if OONI in names)
    assert first == 12 * 6
    gone = [fed(rules, n, *[ok()] * 3) for n in range(12 * 8, 12 * 11)]
    assert OONI not in gone[-1]


def test_a_copy_goes_its_own_way() -> None:
    rules = Naive()
    fed(rules, 0, blocked())
    other = rules.copy()
    fed(other, 1, blocked())
    assert fed(other, 2, blocked()) == {IN_A_ROW}
    assert fed(rules, 1, blocked()) == set()
