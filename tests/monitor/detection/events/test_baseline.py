from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.events.baseline import STRETCHES, chronic, counts, learn, rate
from monitor.detection.events.state import Baseline
from monitor.detection.policy import Policy

POLICY = Policy()
HOUR = 3_600_000
START = 500_000 * HOUR


def learnt(hours: int, failing: object = None, per_hour: int = 12) -> Baseline:
    """A baseline after some hours; `failing(sample)` says which failed."""
    baseline = Baseline()
    for sample in range(hours * per_hour):
        failed = callable(failing) and bool(failing(sample))
        at = START + sample * HOUR // per_hour
        baseline = learn(baseline, at, failed, POLICY)
    return baseline


def per_mille(baseline: Baseline) -> float:
    above, below = rate(baseline, POLICY.baseline)
    return 1000 * above / below


def test_nothing_known_is_the_prior() -> None:
    assert per_mille(Baseline()) == POLICY.baseline.prior_failure_per_mille


def test_learning_leaves_the_old_baseline_as_it_was() -> None:
    old = learnt(10)
    before = repr(old)
    learn(old, START + 11 * HOUR, True, POLICY)
    assert repr(old) == before


def test_failures_count_only_after_the_lag() -> None:
    block = learnt(5, lambda sample: sample >= 24)
    assert per_mille(block) < POLICY.baseline.prior_failure_per_mille
    assert block.recent_failed == 36


def test_rate_is_shrunk_towards_the_prior_and_follows_the_counts() -> None:
    day = learnt(24, lambda sample: sample % 10 == 0)
    week = learnt(24 * 7, lambda sample: sample % 10 == 0)
    assert POLICY.baseline.prior_failure_per_mille < per_mille(day) < per_mille(week) < 100


def test_no_vantage_is_perfect() -> None:
    assert per_mille(learnt(24 * 30)) >= 1


def test_window_moves_and_stays_small() -> None:
    baseline = learnt(24 * 40, lambda sample: sample < 24 * 12)
    assert baseline.failed == 0
    assert len(list(counts(baseline.stretches))) <= STRETCHES + 1
    assert len(list(counts(baseline.hours))) <= 4
    window = POLICY.baseline.baseline_seconds * 1000 // HOUR * 12
    assert window <= baseline.total <= window + 6 * 12
    assert baseline.total == sum(total for _, total, _ in counts(baseline.stretches))


def test_a_gap_of_months_empties_it() -> None:
    baseline = learn(learnt(48), START + 24 * 90 * HOUR, False, POLICY)
    assert (baseline.total, baseline.stretches) == (0, b"")


@pytest.mark.parametrize(
    ("hours", "failing", "expected"),
    [
        (0, None, False),
        (24, None, False),
        (24 * 7, lambda sample: sample % 10 < 4, True),
        (24 * 7, lambda sample: sample % 10 < 2, False),
        # Never seen to work: said after nine samples, not after a week.
        (1, lambda sample: True, True),
        # Twelve good hours are enough for a few failures not to take the vote away.
        (13, lambda sample: sample >= 150, False),
    ],
)
def test_chronic(hours: int, failing: object, expected: bool) -> None:
    assert chronic(learnt(hours, failing), POLICY.baseline) is expected


def test_pace_divides_the_window() -> None:
    fast = replace(POLICY, pace=3600)
    baseline = Baseline()
    for second in range(8 * 3600):
        baseline = learn(baseline, START + second * 100, second < 600, fast)
    assert baseline.failed == 0
    assert len(list(counts(baseline.stretches))) <= STRETCHES + 1


def test_counts_that_are_too_large_for_one_entry_are_kept_in_several() -> None:
    start = START - START % (6 * HOUR)
    baseline = Baseline(recent_total=100_000, recent_failed=70_000, hour=start // HOUR)
    for hour in range(1, 6):
        baseline = learn(baseline, start + hour * HOUR, False, POLICY)
    assert (baseline.total, baseline.failed) == (100_001, 70_000)
    entries = list(counts(baseline.stretches))
    assert len(entries) == 2
    assert sum(total for _, total, _ in entries) == 100_001
    assert sum(failed for _, _, failed in entries) == 70_000


def test_hours_of_another_pace_are_forgotten() -> None:
    fast = learn(Baseline(), START, True, replace(POLICY, pace=60))
    assert learn(fast, START, False, POLICY) == learn(Baseline(), START, False, POLICY)
