"""When times are corrected, and when they stay."""

from __future__ import annotations

import msgspec
import pytest

from probes.delivery.clock_correction import ClockCorrection
from probes.wire.measurement import Measurement
from tests.monitor.store.samples import NOON
from tests.probes.delivery.test_spool import draft

HOUR = 3_600_000


class Clock:
    """A clock that is wrong by `ahead`, and one that nobody can set."""

    def __init__(self, ahead: int) -> None:
        self.ahead, self.passed = ahead, 0
        self.correction = ClockCorrection(
            lambda: NOON + self.ahead + self.passed, lambda: self.passed
        )

    def measured(self, *, interval: int = 1_800_000, ago: int = 0) -> Measurement:
        at = NOON + self.ahead + self.passed - ago
        grid = 60_000 if interval else 1000
        taken = draft(at // grid * grid)
        return msgspec.structs.replace(taken, started=at, interval_ms=interval)

    def told(self, *offsets: int) -> None:
        for offset in offsets:
            self.passed += 10_000
            self.correction.tell(offset)


@pytest.mark.parametrize("interval", [0, 300_000, 1_800_000])
@pytest.mark.parametrize("ahead", [24 * HOUR, HOUR + 12_345, 6 * 60_000, -3 * 24 * HOUR])
def test_what_the_monitor_says_twice_is_corrected_and_marked(ahead: int, interval: int) -> None:
    clock = Clock(ahead)
    clock.told(ahead + 300, ahead + 900)
    first, second = (clock.measured(interval=interval, ago=ago) for ago in (9_000, 2_000))
    true = clock.correction.correct(first)
    assert true.clock_corrected_ms == ahead + 900
    assert abs(true.started - (NOON + clock.passed - 9_000)) <= 900
    assert true.started - true.round == pytest.approx(first.started - first.round, abs=60_000)
    assert true.round % (60_000 if interval else 1000) == 0
    assert clock.correction.correct(true) is true, "once"
    same_round = first.round == second.round
    assert (clock.correction.correct(second).round == true.round) is same_round
    assert clock.correction.corrected == 2


def test_one_word_is_not_enough_and_two_that_differ_neither() -> None:
    clock = Clock(24 * HOUR)
    for offsets in ((24 * HOUR,), (23 * HOUR,), (24 * HOUR,)):
        clock.told(*offsets)
        assert not clock.correction.is_known
        measured = clock.measured()
        assert clock.correction.correct(measured) is measured


def test_what_the_monitor_stores_anyway_stays() -> None:
    clock = Clock(4 * 60_000)
    clock.told(4 * 60_000, 4 * 60_000)
    assert not clock.correction.is_known


def test_what_was_measured_before_this_run_stays() -> None:
    clock = Clock(24 * HOUR)
    clock.told(24 * HOUR, 24 * HOUR)
    earlier = clock.measured(ago=21_000)
    assert clock.correction.correct(earlier) is earlier
    later = clock.measured(ago=19_000)
    assert clock.correction.correct(later) is not later


def test_a_clock_that_was_set_is_not_corrected_by_what_was_said_before() -> None:
    clock = Clock(24 * HOUR)
    clock.told(24 * HOUR, 24 * HOUR)
    before = clock.measured()
    clock.ahead = 12 * HOUR
    clock.told(12 * HOUR)
    assert not clock.correction.is_known
    clock.told(12 * HOUR)
    assert clock.correction.is_known
    assert clock.correction.correct(before) is before
    clock.ahead = 48 * HOUR
    clock.told(48 * HOUR, 48 * HOUR)
    assert clock.correction.correct(before) is before
