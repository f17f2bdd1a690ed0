"""How many vantages measured, as a strip."""

from __future__ import annotations

from monitor.web.draw.coverage import Watchers, coverage_strip, coverage_window
from monitor.web.draw.strips import Window

MINUTE = 60_000


def test_slices_hold_a_round_each() -> None:
    window = Window(0, 180 * MINUTE, 96)
    assert coverage_window(window, 5 * MINUTE).slices == 36
    assert coverage_window(window, 5 * MINUTE).width == 5 * MINUTE
    assert coverage_window(window, MINUTE).slices == 96
    assert coverage_window(window, 1000 * MINUTE).slices == 1
    assert coverage_window(window, 0).slices == 96


def test_equal_slices_are_one_step() -> None:
    made = coverage_strip({0: 2, 1: 2, 3: 3}, Window(0, 40 * MINUTE, 4))
    assert [(run.n, run.x, run.width) for run in made.runs] == [
        (2, 0, 2), (0, 2, 1), (3, 3, 1)
    ]  # fmt: skip
    assert [run.label for run in made.runs] == ["2 vantages", "nobody", "3 vantages"]
    assert made.most == 3
    assert made.runs[1].begin == 20 * MINUTE
    assert made.runs[1].end == 30 * MINUTE
    assert made.summary == (
        "2 to 3 vantages measured at a time; no measurements for 10 min, so nothing is known about "
        "that time."
    )


def test_summaries() -> None:
    window = Window(0, 40 * MINUTE, 4)
    assert coverage_strip({}, window).summary == (
        "Nobody measured in this period, so nothing is known about it."
    )
    whole = coverage_strip(dict.fromkeys(range(4), 1), window)
    assert whole.summary == "1 vantage measured in every 10 min."
    assert len(whole.runs) == 1


def test_runs_of_others_are_networks_and_no_vantages() -> None:
    window = Window(0, 40 * MINUTE, 4)
    made = coverage_strip(dict.fromkeys(range(4), 2), window, Watchers.OTHERS)
    assert made.runs[0].label == "2 networks measured by volunteers of OONI"
    assert made.summary == "2 networks measured by volunteers of OONI in every 10 min."
    both = coverage_strip({0: 1, 1: 3}, window, Watchers.BOTH).summary
    assert both.startswith("1 to 3 vantages and networks measured by volunteers of OONI at a time;")


def test_nobody_is_counted_after_this_moment() -> None:
    """The last slice of a day has hours to come, and those are not time without measurements."""
    window = Window(0, 40 * MINUTE, 4, last=25 * MINUTE)
    made = coverage_strip({0: 5, 1: 5, 2: 5}, coverage_window(window, MINUTE))
    assert [(run.n, run.end) for run in made.runs] == [(5, 25 * MINUTE)]
    assert made.runs[0].width == 2.5
    assert made.summary == "5 vantages measured in every 10 min."
