"""Who is asked whether a block has ended, and never more than the bounds allow."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from monitor.detection.events import end_requests, retest_requests
from monitor.detection.events.retest_limits import NOTHING, Asked, Place, Question, remembered
from monitor.detection.model import Technique, Tier
from tests.monitor.detection.worlds import (
    POLICY,
    Vantage,
    World,
    blocked,
    by_probe,
    fact,
    in_network,
    ok,
    standard,
    vantages,
)

NET: Place = ("RU", 64501, "wechat/messaging")
MINUTE = 60_000
SLOW = 1_800_000
HOUR = 3_600_000


def confirmed(size: int, interval: int = SLOW, **verdict: Technique) -> World:
    people = [*vantages(size), *vantages(3, "DE", 64504)]
    world = World(people, interval=interval).quiet(3)
    world.run(4, in_network(64501, blocked(**verdict)))  # type: ignore[arg-type]
    assert world.only.tier is Tier.CONFIRMED
    return world


def question(world: World, asked: Asked = NOTHING, later: int = 0) -> Question | None:
    at = world.state.round + 2 * MINUTE + later
    return end_requests.wanted(world.state, POLICY, at, asked).get(NET)


def reaching(world: World, *numbers: int) -> World:
    """One more round, in which only these vantages of the first network report: they reach the
    service."""
    here = {f"p-ru64501-{n}" for n in numbers}
    return world.run(1, lambda n, who: ok() if who.asn != 64501 or who.probe in here else None)


def test_nothing_is_asked_while_all_fail() -> None:
    assert question(confirmed(3)) is None


def test_the_first_success_has_those_who_saw_the_block_asked() -> None:
    world = confirmed(3)
    world.feed([fact(vantages(1)[0], world.round, ok(), interval=SLOW)])
    first = question(world)
    assert first is not None
    assert first.asker == "p-ru64501-0"
    assert set(first.whom) == {f"p-ru64501-{n}" for n in range(3)}
    assert retest_requests.wanted(world.state, POLICY, world.state.round) == {}


def test_who_does_not_see_the_block_is_not_asked() -> None:
    people = [*vantages(5), *vantages(3, "DE", 64504)]
    well = {f"p-ru64501-{n}": ok() for n in (3, 4)}
    world = World(people, interval=SLOW).quiet(3)
    world.run(6, lambda n, who: well.get(who.probe) or (blocked() if who.asn == 64501 else ok()))
    asked = question(reaching(world, 0, 3, 4))
    assert asked is not None
    assert set(asked.whom) == {f"p-ru64501-{n}" for n in range(3)}


def test_nothing_is_asked_once_they_fail_again() -> None:
    world = confirmed(3)
    world.feed([fact(vantages(1)[0], world.round, ok(), interval=SLOW)])
    assert question(world) is not None
    world.feed([fact(who, world.round + 1, blocked(), interval=SLOW) for who in vantages(3)])
    assert question(world) is None


def test_nothing_is_asked_once_it_is_over() -> None:
    world = confirmed(3)
    while world.only.ongoing:
        reaching(world, 0, 1, 2)
    assert question(world) is None


@pytest.mark.parametrize(
    ("size", "interval", "is_asked"),
    [(5, 300_000, True), (10, 300_000, False), (30, SLOW, True), (60, SLOW, False)],
)
def test_a_network_that_measures_often_enough_is_not_asked(
    size: int, interval: int, is_asked: bool
) -> None:
    asked = question(reaching(confirmed(size, interval), 0))
    assert (asked is not None) is is_asked
    if asked is not None:
        assert len(asked.whom) == min(size, POLICY.ending.end_retest_vantages)


def test_of_many_those_are_asked_first_who_failed_last() -> None:
    asked = question(reaching(confirmed(20), *range(14)))
    assert asked is not None
    assert {f"p-ru64501-{n}" for n in range(14, 20)} <= set(asked.whom)


def test_an_hour_and_a_day_have_their_bounds_and_one_vantage_half_of_an_hour() -> None:
    """One says all day that it reaches the service, and the others never do."""
    world, asked = confirmed(3), NOTHING
    times = list[int]()
    for _ in range(60):
        # Of a liar: a success in each round. The others' failures leave nothing of it.
        world.feed([fact(vantages(1)[0], world.round, ok(), interval=SLOW)])
        for minute in range(25):
            at = world.state.round + minute * MINUTE
            places = end_requests.wanted(world.state, POLICY, at, asked)
            asked = remembered(asked, places, at, POLICY)
            times += [at] * len(places)
        others = vantages(3)[1:]
        world.feed([fact(who, world.round, blocked(), interval=SLOW) for who in others])
        reaching(world, 0)
    assert min(after - before for before, after in pairwise(times)) >= (
        1000 * POLICY.ending.end_retest_pause_seconds
    )
    for first in times:
        assert sum(first <= at < first + HOUR for at in times) <= POLICY.ending.end_retest_most // 2
        day = sum(first <= at < first + 24 * HOUR for at in times)
        assert day <= POLICY.ending.end_retest_asker_most
    assert world.only.ongoing
    assert len(times) >= POLICY.ending.end_retest_asker_most


def test_beginnings_and_ends_use_up_nothing_of_each_other() -> None:
    world = confirmed(3)
    world.feed([fact(vantages(1)[0], world.round, ok(), interval=SLOW)])
    at = world.state.round
    used = Asked({NET: tuple(at - n * 200_000 for n in range(6, 0, -1))})
    assert retest_requests.wanted(world.state, POLICY, at, used) == {}
    assert question(world) is not None
    few = replace(POLICY, ending=replace(POLICY.ending, end_retest_most=0))
    assert end_requests.wanted(world.state, few, at) == {}


@pytest.mark.parametrize(
    ("successes", "pauses"), [(1, 2), (3, 1)], ids=["one may be chance", "three hardly"]
)
def test_an_end_is_asked_about_again_the_sooner_the_surer_it_is(
    successes: int, pauses: int
) -> None:
    world = reaching(confirmed(3), *range(successes))
    first = question(world)
    assert first is not None
    asked = remembered(NOTHING, {NET: first}, world.state.round + 2 * MINUTE, POLICY)
    pause = 1000 * pauses * POLICY.ending.end_retest_pause_seconds
    assert question(world, asked, pause - 1) is None
    assert question(world, asked, pause) is not None


def test_what_one_success_asks_leaves_half_of_the_hour_for_more() -> None:
    """A block that lets half of the flows pass gives one all the time."""
    world, at = reaching(confirmed(3), 0), 0
    used = Asked({NET: tuple(at - n for n in range(POLICY.ending.end_retest_most // 2))})
    long = replace(used, places={NET: tuple(world.state.round - 900_000 for _ in used.places[NET])})
    assert question(world, long) is None
    assert question(reaching(world, 1, 2), replace(long)) is not None


@pytest.mark.parametrize("technique", [Technique.TLS_RESET_SNI, Technique.THROTTLE_SNI])
def test_what_was_throttled_is_asked_for_throughput(technique: Technique) -> None:
    """What only connects would say that the throttling is over."""
    asked = question(reaching(confirmed(3, technique=technique), 0))
    assert asked is not None
    assert asked.throughput is (technique is Technique.THROTTLE_SNI)


def test_an_unconfirmed_event_asks_nothing() -> None:
    world = World(standard(), interval=SLOW).quiet(3)
    world.run(6, by_probe({"p-ru64501-0": blocked()}))
    assert world.only.tier is Tier.UNCONFIRMED
    world.run(1, lambda n, who: ok())
    assert question(world) is None


def test_an_owner_of_several_vantages_is_asked_like_others() -> None:
    people = [Vantage(f"p-ru64501-{n}", f"o-{n // 2}") for n in range(4)]
    world = World([*people, *vantages(3, "DE", 64504)], interval=SLOW).quiet(3)
    world.run(4, in_network(64501, blocked()))
    asked = question(reaching(world, 0))
    assert asked is not None
    assert len(asked.whom) == 4
