from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from monitor.detection.lateness import deadline
from monitor.detection.model import Stored
from monitor.detection.policy import Policy
from monitor.detector.round_deadline import Reports
from monitor.store.records import Arrived
from probes.wire.measurement import service_of
from tests.monitor.fleet import INTERVAL, PEOPLE, START, TARGET, Person, one, rounds

POLICY = Policy()


def delivered(round: int, stored: Iterable[Stored], after: int = 0) -> bool:
    reports = Reports(POLICY)
    reports.add(
        Arrived(
            probe=m.probe,
            role=each.role,
            country=m.vantage.country,
            asn=m.vantage.asn,
            target=m.target,
            round=m.round,
            interval_ms=m.interval_ms,
        )
        for each in stored
        if (m := each.measurement)
    )
    return reports.delivered(service_of(TARGET), round, round + after)


@pytest.mark.parametrize(
    ("interval", "pace", "expected"),
    [
        (60_000, 1, 90_000),
        (300_000, 1, 150_000),
        (86_400_000, 1, 150_000),  # one slow probe does not hold the fleet up for a day
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


def in_minute(minute: int, numbers: Iterable[int], person: Person, every: int) -> list[Stored]:
    """Rounds of one person, who begins in this minute and measures every so many."""
    start = START + minute * INTERVAL
    return rounds(numbers, people=[person], start=start, interval=every * INTERVAL)


def test_each_in_its_own_minute_is_waited_for_in_that_minute_alone() -> None:
    first, second = PEOPLE[:2]
    before = in_minute(0, [0], first, 30) + in_minute(7, [0], second, 30)
    one_later, two_later = in_minute(0, [1], first, 30), in_minute(7, [1], second, 30)
    assert delivered(START + 30 * INTERVAL, before + one_later)
    assert not delivered(START + 30 * INTERVAL, before + one_later[1:])
    assert delivered(START + 37 * INTERVAL, before + one_later + two_later)
    assert not delivered(START + 37 * INTERVAL, before + one_later + two_later[1:])


def test_who_measures_sooner_than_expected_is_waited_for_sooner_from_then_on() -> None:
    """A function that failed is measured every two hours, not every eight."""
    person, other = PEOPLE[:2]
    before = in_minute(0, [0], person, 16) + in_minute(0, [1, 2], person, 4)
    before += in_minute(0, range(4), other, 4)
    assert delivered(START + 12 * INTERVAL, before + in_minute(0, [3], person, 4))
    assert not delivered(START + 12 * INTERVAL, before)


def test_who_misses_a_round_is_waited_for_only_so_long() -> None:
    missing, other = PEOPLE[:2]
    before = in_minute(0, [0], missing, 30) + in_minute(0, range(13), other, 3)
    assert not delivered(START + 30 * INTERVAL, before)
    late = POLICY.ms(POLICY.rounds.round_wait_seconds + POLICY.rounds.round_close_seconds)
    assert not delivered(START + 30 * INTERVAL, before, late)
    assert delivered(START + 33 * INTERVAL, before)


USUAL = 5 * INTERVAL
ASKED, BYSTANDERS, CONTROL = PEOPLE[:3], PEOPLE[3:5], PEOPLE[5:]


def again(number: int, people: Iterable[Person], target: str = TARGET) -> list[Stored]:
    """What people measure because they were asked, with liveness of that round."""
    return [
        replace(
            each, measurement=replace(each.measurement, retest=each.measurement.target == target)
        )
        for each in rounds([number], people=people, target=target)
    ]


def test_a_round_that_was_asked_for_waits_for_those_asked_and_the_control_alone() -> None:
    before = rounds([0], interval=USUAL)
    asked, control = again(4, ASKED), again(4, CONTROL)
    assert delivered(START + 4 * INTERVAL, before + asked + control)
    assert not delivered(START + 4 * INTERVAL, before + asked), "the control may have news"
    assert not delivered(START + 4 * INTERVAL, before + asked[2:] + control)


def test_who_measured_just_before_is_not_waited_for() -> None:
    """It may have failed, and then refuses within the residual time."""
    before = in_minute(0, [0], ASKED[0], 30) + in_minute(-9, [0], ASKED[1], 30)
    before += rounds([0], people=CONTROL, interval=USUAL)
    control = again(1, CONTROL)
    assert delivered(START + INTERVAL, before + again(1, ASKED[1:2]) + control)
    assert not delivered(START + INTERVAL, before + again(1, ASKED[1:2])), "the control is"


def test_who_was_asked_once_is_not_due_again_when_others_are() -> None:
    before = rounds([0], interval=USUAL) + rounds([0], target="wechat/web", interval=USUAL)
    once = again(2, (*ASKED, *CONTROL), "wechat/web")
    assert delivered(START + 4 * INTERVAL, before + once + again(4, (*ASKED, *CONTROL)))
    # Nor does it make the next round of everybody wait for less.
    regular = rounds([1], interval=USUAL) + rounds([1], target="wechat/web", interval=USUAL)
    assert delivered(START + USUAL, before + once + regular)
    assert not delivered(START + USUAL, before + once + regular[:-2])


def test_those_who_measure_as_often_anyhow_are_due_beside_those_asked() -> None:
    before = rounds([0], people=ASKED, interval=USUAL)
    before += rounds([3], people=(*BYSTANDERS, *CONTROL))
    regular, asked = rounds([4], people=(*BYSTANDERS, *CONTROL)), again(4, ASKED)
    assert delivered(START + 4 * INTERVAL, before + regular + asked)
    assert not delivered(START + 4 * INTERVAL, before + regular[2:] + asked)
    assert not delivered(START + 4 * INTERVAL, before + regular + asked[2:])
