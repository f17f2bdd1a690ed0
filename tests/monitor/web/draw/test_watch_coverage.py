"""Coverage: how many watched, and that nobody watching is said."""

from __future__ import annotations

from monitor.web.draw import watch_coverage
from monitor.web.draw.strips import Window

MINUTE = 60_000


def test_slices_hold_a_round_each() -> None:
    window = Window(0, 180 * MINUTE, 96)
    assert watch_coverage.slots(window, 5 * MINUTE).slices == 36
    assert watch_coverage.slots(window, 5 * MINUTE).width == 5 * MINUTE
    assert watch_coverage.slots(window, MINUTE).slices == 96
    assert watch_coverage.slots(window, 1000 * MINUTE).slices == 1
    assert watch_coverage.slots(window, 0).slices == 96


def test_equal_slices_are_one_step() -> None:
    made = watch_coverage.coverage({0: 2, 1: 2, 3: 3}, Window(0, 40 * MINUTE, 4))
    assert [(step.n, step.x, step.width) for step in made.steps] == [
        (2, 0, 2), (0, 2, 1), (3, 3, 1)
    ]  # fmt: skip
    assert [step.said for step in made.steps] == ["2 vantages", "nobody", "3 vantages"]
    assert made.most == 3
    assert made.steps[1].begin == 20 * MINUTE
    assert made.steps[1].end == 30 * MINUTE
    assert made.summary == (
        "2 to 3 vantages measured at a time; for 10 min nobody did, and nothing is known of that "
        "time."
    )


def test_summaries() -> None:
    window = Window(0, 40 * MINUTE, 4)
    assert watch_coverage.coverage({}, window).summary == (
        "Nobody measured in this time: nothing is known of it."
    )
    whole = watch_coverage.coverage(dict.fromkeys(range(4), 1), window)
    assert whole.summary == "1 vantage measured all the time."
    assert len(whole.steps) == 1
