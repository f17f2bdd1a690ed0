"""The ladder played against networks in which ways are open or not, minute by minute."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.delivery import ladder
from probes.delivery.ladder import DAY_MS, HOUR_MS, MINUTE_MS, Pauses, WayRecord, WayState
from probes.delivery.way_failure import NOT_STORED

PAUSES = Pauses(first_ms=2_000, early_ms=25_000, most_ms=300_000)
TAKES_MS = 6_000
"""An attempt that nobody answers."""
CHEAP, DEAR = 500, 6_000


class Journey:
    """A probe with some ways; `is_open` tells whether a way works at a time."""

    def __init__(self, ways: int, is_open: Callable[[int, int], bool], cost: int = CHEAP) -> None:
        self.records = [WayRecord() for _ in range(ways)]
        self.is_open, self.cost = is_open, cost
        self.now = 1_000
        self.used: list[tuple[int, int]] = []
        """When which way worked."""
        self.tried: list[tuple[int, int]] = []

    def until(self, end: int) -> None:
        """Travel to this time."""
        while self.now < end:
            number = ladder.choose(self.records, self.now)
            if number is None:
                self.now = max(self.now + 1, ladder.wait_until_ms(self.records, self.now))
                continue
            self.tried.append((self.now, number))
            if not self.is_open(number, self.now):
                self.now += TAKES_MS
                self.records[number] = ladder.failed(
                    self.records[number], self.now, "connection_reset", self.cost, PAUSES, 1.0
                )
                continue
            self.used.append((self.now, number))
            self.records[number] = ladder.worked(self.now)
            leave = ladder.leave_ms(self.records, number, self.now)
            while self.is_open(number, self.now) and self.now < end:
                self.now += 1_000
                if leave is not None and leave <= self.now:
                    break
            if not self.is_open(number, self.now):
                self.records[number] = ladder.lost(self.now, PAUSES, 1.0)


def test_the_best_way_is_used_as_long_as_it_works() -> None:
    journey = Journey(4, lambda way, now: True)
    journey.until(DAY_MS)
    assert {way for _, way in journey.used} == {0}


@pytest.mark.parametrize("first", [1, 2, 3, 7])
def test_the_first_way_that_works_is_found_in_one_pass(first: int) -> None:
    journey = Journey(8, lambda way, now: way >= first)
    journey.until(10 * MINUTE_MS)
    assert journey.used[0][1] == first
    assert journey.used[0][0] <= 1_000 + first * TAKES_MS


@pytest.mark.parametrize("blocked_for", [MINUTE_MS, HOUR_MS, 20 * HOUR_MS])
@pytest.mark.parametrize("opens", [0, 1, 3])
def test_whatever_opens_is_found_within_a_minute(blocked_for: int, opens: int) -> None:
    journey = Journey(4, lambda way, now: way == opens and now >= blocked_for)
    journey.until(blocked_for + 5 * MINUTE_MS)
    assert journey.used[0][0] - blocked_for <= MINUTE_MS


def test_a_dear_attempt_is_made_rarely_once_it_has_lasted() -> None:
    """A handshake of 6 kB that fails at every way, for a month: below a tenth of a gigabyte."""
    journey = Journey(4, lambda way, now: False, DEAR)
    journey.until(30 * DAY_MS)
    assert len(journey.tried) * DEAR < 250_000_000
    late = [at for at, way in journey.tried if way == 0 and at > 3 * HOUR_MS]
    assert min(b - a for a, b in itertools.pairwise(late)) >= PAUSES.most_ms


def test_a_better_way_is_tried_again_soon_and_then_daily() -> None:
    journey = Journey(3, lambda way, now: way == 1)
    journey.until(10 * DAY_MS)
    again = [at for at, way in journey.tried if way == 0]
    assert again[1] - again[0] <= 11 * MINUTE_MS
    assert len([at for at in again if at < DAY_MS]) <= 9
    assert len([at for at in again if at > 5 * DAY_MS]) in (4, 5, 6)
    assert all(way != 2 for _, way in journey.tried), "a worse way is not needed"


def test_a_better_way_that_opens_is_used_again() -> None:
    journey = Journey(3, lambda way, now: way == 2 or (way == 0 and now > HOUR_MS))
    journey.until(DAY_MS)
    assert journey.used[0][1] == 2
    assert journey.used[-1][1] == 0
    assert journey.used[-1][0] < 3 * HOUR_MS


def test_a_connection_that_is_lost_is_made_again_before_another_way_is_tried() -> None:
    """A broker that is started again keeps its probes."""
    journey = Journey(2, lambda way, now: way == 1 or not 60_000 <= now < 61_500)
    journey.until(10 * MINUTE_MS)
    assert [way for _, way in journey.used] == [0, 0]


def test_the_way_that_worked_is_tried_first_after_a_restart() -> None:
    records = [
        WayRecord(failures=3, since_ms=1, failed_ms=50 * MINUTE_MS, failure="x"),
        WayRecord(worked_ms=HOUR_MS),
    ]
    assert ladder.choose(records, HOUR_MS) == 1
    assert ladder.choose(records, 3 * HOUR_MS) == 0


def test_a_monitor_that_stores_nothing_is_not_hurried() -> None:
    record = WayRecord()
    for _ in range(20):
        record = ladder.failed(record, 1_000, NOT_STORED, CHEAP, PAUSES, 1.0)
    assert record.again_ms - 1_000 == PAUSES.most_ms


def test_jitter_spreads_the_pause() -> None:
    record = WayRecord(failures=9, since_ms=1)
    assert ladder.failed(record, 1_000, "x", CHEAP, PAUSES, 0.1).again_ms == 1_000 + 2_500


def test_what_a_wrong_clock_wrote_holds_nothing_up() -> None:
    far = 40 * DAY_MS
    records = [WayRecord(failures=1, since_ms=far, failed_ms=far, again_ms=far)]
    assert ladder.choose(records, 1_000) == 0
    records = [records[0], WayRecord(worked_ms=1, again_ms=far)]
    assert ladder.choose(records, 1_000) == 0
    assert ladder.leave_ms(records, 1, 1_000) == 1_000


def record(kind: WayState, age: int) -> WayRecord:
    if kind is WayState.FAILING:
        return ladder.failed(WayRecord(), age, "x", CHEAP, PAUSES, 0.5)
    return WayRecord() if kind is WayState.UNTRIED else ladder.worked(age)


@given(st.lists(st.tuples(st.sampled_from(WayState), st.integers(0, DAY_MS)), min_size=1))
def test_there_is_always_a_way_to_try_or_a_time_to_wait_for(
    known: list[tuple[WayState, int]],
) -> None:
    records = [record(kind, age) for kind, age in known]
    now = DAY_MS // 2
    number = ladder.choose(records, now)
    if number is None:
        assert now < ladder.wait_until_ms(records, now) <= now + DAY_MS
    else:
        opened = [n for n, r in enumerate(records) if r.state is WayState.OPEN]
        assert not opened or number <= opened[0]
