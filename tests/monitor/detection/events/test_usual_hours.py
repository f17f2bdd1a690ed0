"""Who is expected at night, and what those who wait for it gain."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.events.quorum import tally
from monitor.detection.events.state import Member, VantageOutcome
from monitor.detection.events.usual_hours import ALWAYS, after_report, is_asleep, is_usual
from monitor.detection.model import EventState, State, Tier, Verdict
from tests.monitor.detection.events.test_series import network, say
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    POLICY,
    START,
    Vantage,
    World,
    blocked,
    ok,
    says,
    vantages,
)
from tests.monitor.detection.worlds import INTERVAL as INTERVAL_OF_SERIES

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


@pytest.mark.parametrize(
    ("heard_at", "began", "asleep"),
    [(-5, 0, False), (-35, 0, True), (-5, -10, False), (-5, -4, True), (-5, -5, False)],
    ids=["before its turn", "after it", "since the beginning", "not since it", "in its round"],
)
def test_who_is_silent_at_an_unusual_hour_is_asleep(
    heard_at: int, began: int, asleep: bool
) -> None:
    """Minutes before three at night; the interval is 30."""
    now = START + 9 * 24 * HOUR + 3 * HOUR
    sleeps, wakes = heard(range(8, 24), 9), heard(range(24), 9)
    for hours, expected in ((sleeps, asleep), (wakes, False)):
        member = Member(
            owner="o",
            enrolled=0,
            interval=30 * 60_000,
            round=now + heard_at * 60_000,
            outcome=VantageOutcome.GOOD,
            hours=hours,
        )
        assert is_asleep(member, now, POLICY, began and now + began * 60_000) is expected


PROXY = says(State.INCONCLUSIVE, "tls_interception")


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
    up: int = 0,
    proxied: int = 0,
) -> World:
    """Vantages of as many owners, of whom the sleepers are off from midnight to eight, `silent` of
    these in the last night alone; `failing` of those awake say in the last night that it is
    blocked, from an hour on and for so many rounds. The first ones are strangers. Of the last
    sleepers `up` stay up in the last night. Of the others who are awake, `proxied` are behind an
    interceptor since the evening."""
    new = vantages(strangers, enrolled=START - HOUR)
    people = [*new, *vantages(awake + sleepers)[strangers:], *vantages(3, "FR", 64503)]
    off = {who.probe: number < silent for number, who in enumerate(people[awake:][:sleepers])}
    liars = {who.probe for who in people[:failing]}
    blind = {who.probe for who in people[failing:awake][:proxied]}
    late = {who.probe for who in people[awake + sleepers - up : awake + sleepers]}
    midnight = DAYS * 24 * AN_HOUR
    begin = midnight + begins * AN_HOUR + 1

    def script(number: int, who: Vantage) -> Verdict | None:
        day, hour = divmod(number // AN_HOUR, 24)
        if number >= midnight - AN_HOUR and who.probe in blind:
            return PROXY
        if number >= midnight and who.probe in late:
            return ok()
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


def test_two_who_are_awake_do_not_wait_for_one_behind_an_interceptor() -> None:
    event = night(3, 3, 2, blocked(), proxied=1).only
    assert (event.tier, event.agreeing) == (Tier.CONFIRMED, 2)


@pytest.mark.parametrize(
    ("earlier", "turns", "usual", "owners_needed"),
    [
        (ok(), 6, range(8, 24), 2),
        (ok(), 6, range(24), 3),
        (blocked(weight=5_000_000), 1, range(8, 24), 2),
    ],
    ids=["who has just left", "who will come", "whose last failure was a stray"],
)
def test_two_who_are_awake_wait_for_no_sleeper(
    earlier: Verdict, turns: int, usual: range, owners_needed: int
) -> None:
    """Three of five were last heard five minutes before the block, and one of them may have failed
    an hour before. Their turn comes once in so many rounds."""
    place, night_rounds = network(), 2 * 12
    for n in range(night_rounds):
        stray = earlier if n == night_rounds - 12 else ok()
        say(place, n, ok(), ok(), stray, ok(), ok())
    for number in (2, 3, 4):
        probe = f"p-ru64501-{number}"
        place.members[probe] = replace(
            place.members[probe], hours=heard(usual, 9), interval=turns * INTERVAL_OF_SERIES
        )
    for n in (night_rounds, night_rounds + 1):
        say(place, n, blocked(), blocked())
    at = START + (night_rounds + 1) * INTERVAL_OF_SERIES
    votes = tally(place, "tls", at, POLICY)
    assert votes.owners_needed == owners_needed


def test_who_stays_up_for_once_contradicts() -> None:
    """Not one of those who are usually off, once it has been heard."""
    world = night(2, 3, 2, blocked(), lasts=8, up=1)
    assert all(event.tier is not Tier.CONFIRMED for event in world.events.values())


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
