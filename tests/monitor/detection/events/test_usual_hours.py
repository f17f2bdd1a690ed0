"""Who is expected at night, and what those who wait for it gain."""

from __future__ import annotations

import pytest

from monitor.detection.events.usual_hours import ALWAYS, after_report, is_usual
from monitor.detection.model import EventState, Tier, Verdict
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    POLICY,
    START,
    Vantage,
    World,
    blocked,
    ok,
    vantages,
)

HOUR = 3_600_000
INTERVAL = 10 * 60_000
AN_HOUR = HOUR // INTERVAL
DAYS = 5
"""Until it is known who sleeps."""


def heard(hours_heard: range, days: int, interval: int = HOUR) -> int:
    """The hours of a vantage that is heard at these hours of every day."""
    hours, last = ALWAYS, START
    for number in range(24 * days):
        round = START + number * HOUR
        if number % 24 in hours_heard and round - last >= interval:
            hours, last = after_report(hours, last, interval, round, POLICY), round
    return hours


@pytest.mark.parametrize(
    ("hours_heard", "days", "asleep"),
    [
        (range(24), 9, set()),
        (range(8, 24), 2, set()),
        (range(8, 24), 5, set(range(8))),
        (range(2, 24), 9, set()),
        (range(9, 17), 9, {*range(9), *range(17, 24)}),
    ],
    ids=["always", "some nights", "every night", "a gap of three hours", "at work"],
)
def test_hours_of_a_vantage(hours_heard: range, days: int, asleep: set[int]) -> None:
    hours = heard(hours_heard, days)
    assert {h for h in range(24) if not is_usual(hours, START + h * HOUR, POLICY)} == asleep


def test_who_measures_seldom_is_not_asleep_in_between() -> None:
    assert heard(range(24), 9, 2 * HOUR) == ALWAYS


def test_one_night_awake_is_expected_in_the_next() -> None:
    hours = heard(range(8, 24), 6)
    round = START + 6 * 24 * HOUR + 2 * HOUR
    last = START + 6 * 24 * HOUR - HOUR
    assert is_usual(after_report(hours, last, INTERVAL, round, POLICY), round, POLICY)


def night(
    awake: int,
    sleepers: int,
    failing: int,
    verdict: Verdict,
    *,
    begins: int = 2,
    lasts: int = 4,
    silent: int = 0,
    strangers: int = 0,
) -> World:
    """Vantages of as many owners, of whom the sleepers are off from midnight to eight, `silent` of
    these in the last night alone; `failing` of those awake say in the last night that it is
    blocked, from an hour on and for so many rounds. The first ones are strangers."""
    new = vantages(strangers, enrolled=START - HOUR)
    people = [*new, *vantages(awake + sleepers)[strangers:], *vantages(3, "FR", 64503)]
    off = {who.probe: number < silent for number, who in enumerate(people[awake:][:sleepers])}
    liars = {who.probe for who in people[:failing]}
    begin = DAYS * 24 * AN_HOUR + begins * AN_HOUR + 1

    def script(number: int, who: Vantage) -> Verdict | None:
        day, hour = divmod(number // AN_HOUR, 24)
        if hour < 8 and who.probe in off and (day == DAYS or not off[who.probe]):
            return None
        return verdict if number >= begin and who.probe in liars else ok()

    return World(people, interval=INTERVAL).run(begin + lasts, script)


@pytest.mark.parametrize(
    ("awake", "sleepers", "begins"), [(3, 7, 0), (3, 7, 6), (2, 3, 2)], ids=lambda n: str(n)
)
def test_a_block_is_confirmed_in_a_night_of_sleepers(
    awake: int, sleepers: int, begins: int
) -> None:
    """Ten owners of whom three measure at night, five of whom two do: within four rounds of ten
    minutes."""
    event = night(awake, sleepers, awake, blocked(), begins=begins).only
    assert (event.tier, event.state) == (Tier.CONFIRMED, EventState.OPEN)
    assert event.agreeing == awake


@pytest.mark.parametrize(
    ("more", "verdict"),
    [({}, BLACKHOLE), ({"silent": 1}, blocked()), ({"strangers": 1}, blocked())],
    ids=["no signature", "one of the others is silent and does not sleep", "a stranger"],
)
def test_what_two_who_are_awake_do_not_confirm(more: dict[str, int], verdict: Verdict) -> None:
    event = night(2, 3, 2, verdict, lasts=8, **more).only
    assert event.tier is Tier.LIKELY


@pytest.mark.parametrize(
    ("awake", "sleepers", "liars"),
    [(5, 0, 2), (3, 2, 2), (4, 6, 3), (5, 5, 3), (8, 8, 3)],
    ids=lambda n: str(n),
)
def test_those_who_wait_for_the_night_gain_nothing(awake: int, sleepers: int, liars: int) -> None:
    """Two of five do not confirm, nor three of more, where one who is awake contradicts."""
    world = night(awake, sleepers, liars, blocked())
    assert all(event.tier is not Tier.CONFIRMED for event in world.events.values())


def test_others_that_are_off_for_once_are_expected() -> None:
    """Seven of ten fall silent in the very night, and it is not their habit."""
    people = [*vantages(10), *vantages(3, "FR", 64503)]
    off = {who.probe for who in people[3:10]}
    liars = {who.probe for who in people[:3]}
    begin = DAYS * 24 * AN_HOUR

    def script(number: int, who: Vantage) -> Verdict | None:
        if number < begin:
            return ok()
        return None if who.probe in off else blocked() if who.probe in liars else ok()

    world = World(people, interval=INTERVAL).run(begin + 5 * AN_HOUR, script)
    assert all(event.tier is not Tier.CONFIRMED for event in world.events.values())
