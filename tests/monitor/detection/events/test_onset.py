from __future__ import annotations

from monitor.detection.events.onset import Onset, onset
from monitor.detection.events.state import Baseline, Suspicion, Track


def track(left: int, before: int = 0, *, other: int = 0) -> Track:
    """A track whose strongest member left zero at `left`, and a weaker one at `other`."""
    return Track(Baseline(), 0, 0, Suspicion([5, 7], [other, left], [0, before]))


def test_nobody_knows() -> None:
    assert onset([], 900) == Onset(900, 900, 900, 900)
    assert onset([(Track(Baseline()), 60), (track(0), 60)], 900) == Onset(900, 900, 900, 900)


def test_first_to_fail_sets_it_and_the_last_bounds_it() -> None:
    seen = [(track(300, 240), 60), (track(360, 300), 60), (track(420, 360), 60)]
    assert onset(seen, 900) == Onset(300, 240, 420, 360)


def test_of_the_first_the_newest_success_counts() -> None:
    assert onset([(track(300, 180), 60), (track(300, 240), 60)], 900).earliest == 240


def test_without_a_success_one_interval_before() -> None:
    assert onset([(track(300), 60)], 900) == Onset(300, 240, 300, 300)


def test_the_strongest_member_is_asked_not_the_oldest() -> None:
    assert onset([(track(300, 240, other=60), 60)], 900).at == 300


def test_when_half_had_begun_is_not_moved_by_an_earlier_failure_of_one() -> None:
    seen = [(track(300), 60), (track(1500), 60), (track(1560), 60)]
    assert onset(seen, 2000).half == 1500
    assert onset(seen[:2], 2000).half == 1500, "of two the later one"
