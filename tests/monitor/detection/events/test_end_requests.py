"""Who is asked whether a block has ended, and never more than the bounds allow."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from monitor.detection.events import end_requests, retest_requests
from monitor.detection.events.retest_limits import NOTHING, Asked, Place, Question, remembered
from monitor.detection.model import State, Technique, Tier
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


def look(world: World, asked: Asked = NOTHING, later: int = 0) -> Question | None:
    at = world.state.round + 2 * MINUTE + later
    return end_requests.looks(world.state, POLICY, at, asked).get(NET)


def reaching(world: World, *numbers: int) -> World:
    """One more round, in which only these vantages of the first network report: they reach the
    service."""
    here = {f"p-ru64501-{n}" for n in numbers}
    return world.run(1, lambda n, who: ok() if who.asn != 64501 or who.probe in here else None)


def test_nothing_is_asked_while_all_fail() -> None:
    assert question(confirmed(3)) is look(confirmed(3)) is None


def test_the_first_success_has_another_asked_and_several_have_all_who_saw_the_block() -> None:
    world = confirmed(3)
    world.feed([fact(vantages(1)[0], world.round, ok(), interval=SLOW)])
    assert question(world) is None
    first = look(world)
    assert first is not None
    assert first.asker == "p-ru64501-0"
    assert first.whom in (("p-ru64501-1",), ("p-ru64501-2",))
    assert retest_requests.wanted(world.state, POLICY, world.state.round) == {}
    reaching(world, 0, 1, 2)
    assert look(world) is None
    second = question(world)
    assert second is not None
    assert set(second.whom) == {f"p-ru64501-{n}" for n in range(3)}


@pytest.mark.parametrize(
    ("age", "after"), [(0, 5), (6, 10), (72, 12)], ids=["new", "hours old", "days old"]
)
def test_a_known_block_is_looked_at_by_one_after_a_part_of_its_age_or_when_a_turn_is_lost(
    age: int, after: int
) -> None:
    """Three vantages, so a turn comes every ten minutes, and two more are waited for it."""
    world = confirmed(3).run(2 * age, in_network(64501, blocked()))
    first = next(minute for minute in range(20) if look(world, later=minute * MINUTE))
    assert first + 2 == after
    overdue = look(world, later=first * MINUTE)
    assert overdue is not None
    assert overdue.whom == (overdue.asker,)
    assert question(world, later=first * MINUTE) is None


@pytest.mark.parametrize("early", [0, 1, 2])
def test_who_has_failed_since_long_before_makes_no_block_old_and_does_not_answer_for_it(
    early: int,
) -> None:
    """A filter of its own, nine hours old, before one of three. It goes on when the block ends."""
    world = World([*vantages(3), *vantages(3, "DE", 64504)], interval=SLOW).quiet(3)
    filtered = f"p-ru64501-{early}"
    world.run(18, by_probe({filtered: blocked()}))
    world.run(4, in_network(64501, blocked()))
    assert world.only.tier is Tier.CONFIRMED
    world.feed([fact(vantages(3)[early], world.round, blocked(), interval=SLOW)])
    others = look(world)
    assert others is not None
    assert filtered not in (others.asker, *others.whom)
    world.run(1, by_probe({filtered: blocked()}))
    again = look(world) or question(world)
    assert again is not None
    assert filtered not in (again.asker, *again.whom)


@pytest.mark.parametrize("able", range(3))
def test_whoever_could_say_nothing_is_asked_last(able: int) -> None:
    world = confirmed(3)
    offline = replace(blocked(), state=State.VANTAGE_OFFLINE, findings=(), layer=None)
    others = [who for n, who in enumerate(vantages(3)) if n != able]
    world.feed([fact(who, world.round, offline, interval=SLOW) for who in others])
    asked = look(world, later=20 * MINUTE)
    assert asked is not None
    assert asked.whom == (f"p-ru64501-{able}",)


def test_who_does_not_see_the_block_is_not_asked() -> None:
    people = [*vantages(5), *vantages(3, "DE", 64504)]
    well = {f"p-ru64501-{n}": ok() for n in (3, 4)}
    world = World(people, interval=SLOW).quiet(3)
    world.run(6, lambda n, who: well.get(who.probe) or (blocked() if who.asn == 64501 else ok()))
    asked = question(reaching(world, 0, 3, 4))
    assert asked is not None
    assert set(asked.whom) == {f"p-ru64501-{n}" for n in range(3)}


def test_nothing_is_asked_once_they_fail_again() -> None:
    world = reaching(confirmed(3), 0, 1, 2)
    assert question(world) is not None
    for _ in range(3):
        world.feed([fact(who, world.round, blocked(), interval=SLOW) for who in vantages(3)])
    assert question(world) is look(world) is None


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
    asked = question(reaching(confirmed(size, interval), *range(size)))
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
            places = end_requests.looks(world.state, POLICY, at, asked)
            asked = remembered(asked, places, at, POLICY)
            times += [at] * len(places)
        others = vantages(3)[1:]
        world.feed([fact(who, world.round, blocked(), interval=SLOW) for who in others])
        reaching(world, 0)
    assert min(after - before for before, after in pairwise(times)) >= (
        1000 * POLICY.ending.end_retest_pause_seconds
    )
    for first in times:
        assert sum(first <= at < first + HOUR for at in times) <= POLICY.ending.end_look_most
        day = sum(first <= at < first + 24 * HOUR for at in times)
        assert day <= POLICY.ending.end_retest_asker_most
    assert world.only.ongoing
    assert len(times) >= POLICY.ending.end_retest_asker_most


def test_beginnings_looks_and_ends_use_up_nothing_of_each_other() -> None:
    world = reaching(confirmed(3), 0, 1, 2)
    at = world.state.round
    used = Asked({NET: tuple(at - n * 200_000 for n in range(6, 0, -1))})
    assert retest_requests.wanted(world.state, POLICY, at, used) == {}
    assert question(world) is not None
    few = replace(POLICY, ending=replace(POLICY.ending, end_retest_most=0))
    assert end_requests.wanted(world.state, few, at) == {}
    world = reaching(confirmed(3), 0)
    assert look(world) is not None
    few = replace(POLICY, ending=replace(POLICY.ending, end_look_most=0))
    assert end_requests.looks(world.state, few, at) == {}


def test_an_end_is_asked_about_again_after_a_pause() -> None:
    world = reaching(confirmed(3), 0, 1, 2)
    first = question(world)
    assert first is not None
    asked = remembered(NOTHING, {NET: first}, world.state.round + 2 * MINUTE, POLICY)
    pause = 1000 * POLICY.ending.end_retest_pause_seconds
    assert question(world, asked, pause - 1) is None
    assert question(world, asked, pause) is not None


@pytest.mark.parametrize("technique", [Technique.TLS_RESET_SNI, Technique.THROTTLE_SNI])
def test_what_was_throttled_is_asked_for_throughput(technique: Technique) -> None:
    """What only connects would say that the throttling is over."""
    asked = question(reaching(confirmed(3, technique=technique), 0, 1, 2))
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
    asked = question(reaching(world, 0, 1, 2, 3))
    assert asked is not None
    assert len(asked.whom) == 4
