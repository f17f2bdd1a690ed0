from __future__ import annotations

import pytest

from monitor.closing import deadline, delivered
from monitor.detection.policy import Policy
from tests.monitor.fleet import INTERVAL, PEOPLE, START, one, rounds

POLICY = Policy()


@pytest.mark.parametrize(
    ("interval", "pace", "expected"),
    [
        (60_000, 1, 90_000),
        (300_000, 1, 330_000),
        (86_400_000, 1, 330_000),  # one slow probe does not hold the fleet up for a day
        (0, 1, 30_000),
        (6_000, 10, 9_000),
    ],
)
def test_deadline(interval: int, pace: int, expected: int) -> None:
    assert deadline(START, interval, Policy(pace=pace)) == START + expected


def test_delivered_when_all_who_were_there_before_are_there_again() -> None:
    before, now = rounds([0]), rounds([1])
    assert delivered(START + INTERVAL, before + now)
    assert not delivered(START + INTERVAL, before + now[1:])
    assert not delivered(START + INTERVAL, before)


def test_liveness_and_controls_are_waited_for_as_well() -> None:
    before, now = rounds([0]), rounds([1])
    liveness = [s for s in now if s.measurement.target.startswith("liveness/")]
    assert not delivered(START + INTERVAL, before + [s for s in now if s not in liveness])
    assert not delivered(START + INTERVAL, before + rounds([1], people=PEOPLE[:-1]))


def test_without_a_past_only_time_tells() -> None:
    assert not delivered(START, rounds([0]))
    assert not delivered(START, [])


def test_who_is_not_due_yet_is_not_waited_for() -> None:
    slow = one(PEOPLE[0], 0, False, interval=10 * INTERVAL)
    others = rounds([0], people=PEOPLE[1:])
    assert delivered(START + INTERVAL, slow + others + rounds([1], people=PEOPLE[1:]))


def test_newcomers_and_the_future_do_not_matter() -> None:
    old = rounds([0, 1], people=PEOPLE[1:])
    assert delivered(START + INTERVAL, old + rounds([1], people=PEOPLE[:1]))
    assert delivered(START + INTERVAL, old + rounds([2], people=PEOPLE[:1]))
