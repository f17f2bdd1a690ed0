"""Failures that move from country to country."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from msgspec.structs import replace as changed

from monitor.detection.events.confidence import DOUBTED_MOST, probability
from monitor.detection.events.drift import DRIFT_SECONDS, Followers
from monitor.detection.model import Answer, Elsewhere, Event, Layer, Technique, Tier, Verdict
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    INJECTED,
    POLICY,
    Vantage,
    World,
    blocked,
    fact,
    ok,
    vantages,
)

DAY = 86_400_000
INTERVAL = DAY // 24
REMARK = "moves_between_countries"
ANSWERS = Elsewhere((Answer("198.51.100.1", "ZC", 64999, 0, True),))
HERE = "RU"
WELL = [who for n, c in enumerate(("KE", "BR", "IN", "US")) for who in vantages(2, c, 64600 + n)]
"""They reach it all the time, so that no gate closes."""
Begins = dict[str, tuple[float, Verdict]]


def networks(country: str, number: int) -> list[Vantage]:
    return [who for asn in (number, number + 1) for who in vantages(3, country, asn)]


FAILING = [
    who for n, c in enumerate(("FR", "DE", "JP", HERE)) for who in networks(c, 64500 + 10 * n)
]


def event(begins: Begins, people: list[Vantage] = FAILING, passing: Collection[str] = ()) -> Event:
    """The event here when it has failed for half a day. `begins`: on which day each country begins
    to fail, and how; its second network follows some hours later. Measured is in the hours after
    each beginning. `passing`: countries in which all reach it now and then."""
    world = World([*people, *WELL], interval=INTERVAL).quiet(8)
    first = world.round
    while world.round < first + (begins[HERE][0] + 0.5) * DAY:
        if not any(0 <= (world.round - first) / DAY - day < 0.5 for day, _ in begins.values()):
            world.number += 1
            continue
        facts = []
        for who in world.people:
            day, verdict = begins.get(who.country, (999.0, ok()))
            fails = world.round >= first + (day + 0.1 * (who.asn % 2)) * DAY
            fails &= not (who.country in passing and world.number % 5 == 0)
            made = fact(who, world.round, verdict if fails else ok())
            facts.append(changed(made, interval=INTERVAL, elsewhere=ANSWERS) if fails else made)
        world.feed(facts)
    (found,) = (event for event in world.events.values() if event.country == HERE)
    return found


NEARER = changed(blocked(), evidence=("sooner_than_server",))
MADE_UP = changed(INJECTED, evidence=("made_up", "others_answer"))


@pytest.mark.parametrize(
    "begins",
    [
        {"FR": (0, BLACKHOLE), "DE": (2, BLACKHOLE), HERE: (4, BLACKHOLE)},
        {"FR": (2.5, BLACKHOLE), "DE": (0, BLACKHOLE), "JP": (1, BLACKHOLE), HERE: (5, BLACKHOLE)},
        {"FR": (0, blocked()), "JP": (1.5, blocked()), HERE: (3, blocked())},
        {"FR": (0, NEARER), "JP": (1.5, NEARER), HERE: (3, NEARER)},
        {"FR": (0, MADE_UP), "JP": (1.5, MADE_UP), HERE: (3, MADE_UP)},
    ],
    ids=["silent", "in any order", "signed", "before the servers", "false answers"],
)
def test_what_moves_through_countries_in_days_is_no_page(begins: Begins) -> None:
    moving = event(begins)
    assert moving.tier is Tier.CONFIRMED
    assert REMARK in moving.against
    assert (probability(moving) or 0) <= DOUBTED_MOST


RESET = blocked(Technique.TCP_RESET, Layer.TCP, 0)
NAMED = changed(blocked(), evidence=("name_fails_anywhere",))


@pytest.mark.parametrize(
    "begins",
    [
        {HERE: (0.5, BLACKHOLE)},
        {"FR": (0, BLACKHOLE), HERE: (2, BLACKHOLE)},
        {"FR": (0, blocked()), "DE": (2, blocked()), HERE: (4, BLACKHOLE)},
        {"FR": (0, RESET), "DE": (2, RESET), HERE: (4, BLACKHOLE)},
        {"FR": (0, NAMED), "DE": (2, NAMED), HERE: (4, NAMED)},
        {"FR": (0, NAMED), "DE": (2, NAMED), HERE: (4, blocked())},
    ],
    ids=[
        "one country",
        "two countries",
        "another layer",
        "another way",
        "on the way",
        "on the way elsewhere",
    ],
)
def test_a_block_that_spreads_in_its_own_country_or_in_another_way_moves_nowhere(
    begins: Begins,
) -> None:
    assert REMARK not in event(begins).against


def test_what_passes_by_chance_ends_no_drift() -> None:
    begins = {"FR": (0.0, BLACKHOLE), "DE": (2.0, BLACKHOLE), HERE: (4.0, BLACKHOLE)}
    moving = event(begins, passing=("FR", "DE"))
    assert REMARK in moving.against


def test_new_owners_in_other_countries_say_nothing() -> None:
    begins = {"FR": (0.0, BLACKHOLE), "DE": (2.0, BLACKHOLE), HERE: (4.0, BLACKHOLE)}
    at = World([]).round
    new = [
        who for n, c in enumerate(("FR", "DE")) for who in vantages(2, c, 64500 + n, enrolled=at)
    ]
    assert REMARK not in event(begins, [*new, *networks(HERE, 64530)]).against


def test_what_began_longer_ago_is_another_matter() -> None:
    days = DRIFT_SECONDS / 86_400
    begins = {"FR": (0.0, BLACKHOLE), "DE": (1.0, BLACKHOLE), HERE: (days + 0.7, BLACKHOLE)}
    assert REMARK not in event(begins).against


def follow(*days: float, onset: float = 0, compared: int = 10) -> Followers:
    """One country begins on each of these days."""
    began = sorted((int(day * DAY), f"C{n}") for n, day in enumerate(days))
    return Followers(began, compared, int(onset * DAY), 3)


def test_a_change_of_the_service_comes_to_many_without_a_break() -> None:
    assert follow(1, 2, 5, 8).has_moved(POLICY)
    assert follow(-3, -1, 2, 4).has_moved(POLICY)
    assert not follow(1, 2, 6, 8, 9).has_moved(POLICY)
    assert not follow(1, 2, 5, 8, compared=20).has_moved(POLICY)


def test_two_others_are_governments_and_few_of_many_are_chance() -> None:
    assert follow(1, 2, 3).moves
    assert not follow(1, 2).moves
    assert not follow(1, 2, 3, compared=70).moves
