"""Which failures abroad speak for a service that is down: staggered blocks, outages, strangers."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from monitor.detection.events.gates import FAILING
from monitor.detection.events.outages import TargetHealth, fails_elsewhere, reports_of
from monitor.detection.events.state import Member, ServiceState, TargetNetwork, VantageOutcome
from monitor.detection.model import Answer, Elsewhere, Event, Fact, Tier, Verdict
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    INTERVAL,
    POLICY,
    START,
    Vantage,
    World,
    blocked,
    fact,
    ok,
    vantages,
)

SLOW = 6 * INTERVAL
HOUR = 2
"""Rounds."""
DAY = 24 * HOUR
UNTOLD = Elsewhere()
ANSWERED = Elsewhere((Answer("198.51.100.1", "NL", 64999, 0, True),))
NAMED = "name_fails_anywhere"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
PLACES = [first + second for first in "AB" for second in ALPHABET]


def countries(number: int, each: int = 3) -> list[Vantage]:
    return [
        person
        for n, country in enumerate(PLACES[:number])
        for person in vantages(each, country, 64600 + n)
    ]


def staggered(
    number: int,
    rounds_apart: int,
    rounds: int,
    verdict: Verdict,
    *,
    elsewhere: Elsewhere = UNTOLD,
    until: int = 10**9,
) -> World:
    """Each country fails so many rounds after the one before, until all reach it again."""
    world = World(countries(number), interval=SLOW).quiet(10)

    def seen(n: int, who: Vantage) -> bool:
        return (who.asn - 64600) * rounds_apart <= n - 10 < until

    for _ in range(rounds):
        facts = [
            fact(who, world.round, verdict, interval=SLOW)
            if seen(world.number, who)
            else fact(who, world.round, ok(), interval=SLOW)
            for who in world.people
        ]
        world.feed(replace(f, elsewhere=elsewhere) if f.verdict is verdict else f for f in facts)
    return world


def told(world: World) -> dict[str, Event]:
    """Events that are at least likely, by country."""
    return {
        event.country: event
        for event in world.events.values()
        if event.tier is not Tier.UNCONFIRMED
    }


SIGNED = replace(blocked(), evidence=(NAMED,))


@pytest.mark.parametrize(("number", "rounds_apart"), [(3, 2), (3, 30), (10, 1), (10, 12), (30, 1)])
def test_blocks_that_show_a_cause_on_the_way_hide_none_of_each_other(
    number: int, rounds_apart: int
) -> None:
    """Within hours or days of each other, everywhere."""
    world = staggered(number, rounds_apart, number * rounds_apart + 6, SIGNED)
    found = told(world)
    assert set(found) == set(PLACES[:number])
    late = [
        (event.opened - START) // SLOW - 10 - PLACES.index(country) * rounds_apart
        for country, event in found.items()
    ]
    assert max(late) <= 2


@pytest.mark.parametrize(
    ("number", "rounds_apart", "verdict"),
    [
        (3, 2, BLACKHOLE),
        (3, 2, blocked()),
        (10, 1, BLACKHOLE),
        (10, 12, BLACKHOLE),
        (30, 2, BLACKHOLE),
    ],
    ids=["3 in hours", "3 signed", "10 in hours", "10 in days", "30 in days"],
)
def test_blocks_of_addresses_that_answer_elsewhere_hide_each_other_for_hours_not_days(
    number: int, rounds_apart: int, verdict: Verdict
) -> None:
    world = staggered(
        number, rounds_apart, number * rounds_apart + 14 * HOUR, verdict, elsewhere=ANSWERED
    )
    assert set(told(world)) == set(PLACES[:number])


@pytest.mark.parametrize(("number", "hours"), [(3, 8), (10, 50), (30, 8)])
@pytest.mark.parametrize("elsewhere", [UNTOLD, Elsewhere(dead=1)], ids=["untold", "dead"])
def test_an_outage_is_no_block_however_long_it_lasts(
    number: int, hours: int, elsewhere: Elsewhere
) -> None:
    """The control reaches another place of the service. It begins everywhere within the hour, and
    some reach the service again before others."""
    world = World(countries(number), interval=SLOW).quiet(10)
    for n in range(hours * HOUR + 8):
        facts = []
        for who in world.people:
            begins = who.asn % 2
            ends = hours * HOUR + who.asn % 5
            verdict = BLACKHOLE if begins <= n < ends else ok()
            facts.append(fact(who, world.round, verdict, interval=SLOW))
        world.feed(replace(f, elsewhere=elsewhere) for f in facts)
    assert {event.tier for event in world.events.values()} <= {Tier.UNCONFIRMED}


def test_an_outage_that_a_later_block_follows_does_not_hide_it_for_longer_than_a_day() -> None:
    """All fail for three hours, most reach it again, and one country blocks two days later."""
    world = staggered(6, 0, 3 * HOUR + 2 * DAY, BLACKHOLE, until=3 * HOUR)
    assert told(world) == {}
    world.run(4, lambda n, who: blocked() if who.country == "AA" else ok())
    assert set(told(world)) == {"AA"}


def test_what_fails_for_weeks_elsewhere_says_nothing_of_today() -> None:
    """Half of the countries, behind a gate that was closed all the time."""
    people = countries(8)
    world = World(people, interval=SLOW).quiet(10)
    world.run(3 * DAY, lambda n, who: BLACKHOLE if who.asn < 64604 else ok())
    assert told(world) == {}, "nobody can tell these from an outage"
    world.run(
        4, lambda n, who: BLACKHOLE if who.asn < 64604 else blocked() if who.asn == 64604 else ok()
    )
    assert set(told(world)) == {"AE"}


def test_who_fails_later_by_more_than_a_day_reached_it_meanwhile() -> None:
    """The block of one country is a day and a half old when an outage hides others."""
    world = World(countries(6), interval=SLOW).quiet(10)
    world.run(36 * HOUR, lambda n, who: blocked() if who.asn == 64600 else ok())
    (event,) = told(world).values()
    world.run(8, lambda n, who: blocked() if who.asn == 64600 else BLACKHOLE)
    assert set(told(world)) == {"AA"}
    assert world.events[event.id].ongoing


NEW = START
"""Enrolled shortly before, long enough for a vote."""


def hidden(
    liars: list[Vantage], honest: list[Vantage], said: Callable[[Vantage, int], Fact]
) -> bool:
    """Whether liars abroad, who begin to fail with a block in RU, keep it from being likely."""
    people = [*vantages(3), *honest]
    world = World([*people, *liars]).quiet(80)
    for _ in range(12):
        facts = [fact(who, world.round, blocked() if who.asn == 64501 else ok()) for who in people]
        world.feed([*facts, *(said(liar, world.round) for liar in liars)])
    return "RU" not in told(world)


def lies(liar: Vantage, round: int) -> Fact:
    return fact(liar, round, blocked())


def lone(number: int, enrolled: int = 0) -> list[Vantage]:
    """Strangers, each alone in a country of its own."""
    return [
        Vantage(f"p-liar{n}", f"liar-{n}", country, 65100 + n, enrolled=enrolled)
        for n, country in enumerate(PLACES[:number])
    ]


def abroad(enrolled: int = 0) -> list[Vantage]:
    """Six owners in two networks."""
    return [
        *vantages(3, "FR", 64610, enrolled=enrolled),
        *vantages(3, "DE", 64620, enrolled=enrolled),
    ]


WEEKS = POLICY.ms(POLICY.quorum.known_seconds)


@pytest.mark.parametrize("age", [0, 2 * WEEKS], ids=["new", "known"])
@pytest.mark.parametrize("networks", [1, 2])
def test_three_owners_in_three_countries_hide_no_block(age: int, networks: int) -> None:
    """Though all of them, honest ones and liars, have been known for equally long: live, in every
    round. Three honest owners abroad in one network are enough against them."""
    at = START - age
    assert not hidden(lone(3, at), abroad(at)[: 3 * networks], lies)


@pytest.mark.parametrize(
    ("liars_age", "honest_age", "most"),
    [(0, 0, 7), (2 * WEEKS, 2 * WEEKS, 7), (0, 2 * WEEKS, 15), (2 * WEEKS, 0, 3)],
    ids=["all new", "all known", "new ones against known ones", "known ones against new ones"],
)
def test_how_many_strangers_it_takes(liars_age: int, honest_age: int, most: int) -> None:
    """The table of docs/evaluation/lying-vantages.md: so many lone strangers hide nothing from six
    honest owners in two networks, and one more does."""
    honest = abroad(START - honest_age)
    assert not hidden(lone(most, START - liars_age), honest, lies)
    assert hidden(lone(most + 1, START - liars_age), honest, lies)


def test_an_outage_is_seen_by_lone_volunteers_and_at_a_monitor_that_begins() -> None:
    """Where all are strangers, each alone in its country, their word is all that there is."""
    people = [*vantages(3), *lone(6, NEW)]
    world = World(people).quiet(80).run(12, lambda n, who: blocked())
    assert told(world) == {}


@pytest.mark.parametrize("seed", range(40))
def test_countries_are_counted_whenever_it_matters(seed: int) -> None:
    rng = random.Random(seed)
    share = max(rng.random(), rng.random())
    state = ServiceState(service="a", round=START, networks={})
    for number in range(rng.randrange(2, 9)):
        country = rng.choice(["RU", "KZ", "TR"])
        outcomes = [*FAILING, VantageOutcome.OFFLINE]
        members = {
            f"p-{number}-{n}": Member(
                rng.choice("abcdefgh"),
                START - rng.choice([3_600_000, *3 * [100 * 86_400_000]]),
                INTERVAL,
                START - rng.choice([0, 0, INTERVAL, 9 * 3_600_000]),
                rng.choice(outcomes) if rng.random() < share else VantageOutcome.GOOD,
            )
            for n in range(rng.randrange(1, 5))
        }
        state.networks[str(number)] = TargetNetwork("a/b", country, number + 1, "probe", members)
    gathered = reports_of(state, "a/b", START, POLICY)
    for country in ("RU", "KZ", "TR", "FR"):
        health = TargetHealth(state, "a/b", START, POLICY)
        here = TargetNetwork("a/b", country, 99, "probe")
        closed = fails_elsewhere(gathered, country, START, START, POLICY)
        assert health.closes(here) is closed
        assert closed is None or health.fails_outside(country)
