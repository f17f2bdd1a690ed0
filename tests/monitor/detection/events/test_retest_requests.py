"""What is measured again at once, and what never more than the bounds allow."""

from __future__ import annotations

from itertools import pairwise

import pytest
from msgspec.structs import replace

from monitor.detection.events.retest_limits import NOTHING, Asked, Place, Question, remembered
from monitor.detection.events.retest_requests import wanted
from monitor.detection.model import Tier
from monitor.detection.policy import Policy
from tests.monitor.detection.worlds import (
    BLACKHOLE,
    DOWN,
    INTERVAL,
    OFFLINE,
    POLICY,
    START,
    TARGET,
    UNCONTROLLED,
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

NET: Place = ("RU", 64501, TARGET)
MINUTE = 60_000


def now(world: World) -> int:
    return world.state.round + INTERVAL


def asks(world: World) -> tuple[Place, ...]:
    return tuple(wanted(world.state, POLICY, now(world)))


def one_failure() -> World:
    world = World(standard()).quiet()
    return world.run(1, by_probe({"p-ru64501-0": blocked()}))


def test_nothing_is_asked_while_all_is_well() -> None:
    assert asks(World(standard()).quiet(20)) == ()


def test_the_first_counted_failure_asks_its_network_alone() -> None:
    assert asks(one_failure()) == (NET,)


def test_a_failure_that_nobody_repeats_is_no_news_in_the_next_round() -> None:
    assert asks(one_failure().quiet(1)) == ()


@pytest.mark.parametrize("verdict", [OFFLINE, UNCONTROLLED])
def test_what_does_not_count_asks_nothing(verdict: object) -> None:
    world = World(standard()).quiet()
    world.run(1, by_probe({"p-ru64501-0": verdict}))  # type: ignore[dict-item]
    assert asks(world) == ()


def test_one_that_fails_together_with_the_control_asks_once() -> None:
    """The control may have failed by chance; when the service is down, others fail as well."""
    world = World(standard()).quiet().run(1, by_probe({"p-ru64501-0": DOWN}))
    just = world.state.round + MINUTE
    asked = wanted(world.state, POLICY, just)
    assert {place: each.asker for place, each in asked.items()} == {NET: "p-ru64501-0"}
    known = remembered(NOTHING, asked, just, POLICY)
    for at in range(just, just + 10 * MINUTE, MINUTE):
        assert not wanted(world.state, POLICY, at, known)
    world = World(standard()).quiet()
    world.run(1, by_probe({"p-ru64501-0": DOWN, "p-ru64501-1": DOWN}))
    assert not wanted(world.state, POLICY, world.state.round + MINUTE)


def test_a_network_that_is_offline_is_asked_when_one_of_it_is_back() -> None:
    """Else the retests of an hour are used up when the others could answer."""
    world = one_failure().run(1, in_network(NET[1], OFFLINE))
    assert asks(world) == ()
    world.run(1, lambda n, who: blocked() if who.probe == "p-ru64501-0" else None)
    assert asks(world) == (NET,)


def test_who_has_no_vote_asks_nothing() -> None:
    young = [Vantage("p-new", "o-new", enrolled=START), *standard()]
    world = World(young).quiet().run(1, by_probe({"p-new": blocked()}))
    assert asks(world) == ()


def test_a_service_that_fails_elsewhere_asks_nothing() -> None:
    people = [*standard(), *vantages(3, "DE", 64504)]
    world = World(people).quiet()
    world.run(2, lambda n, who: blocked() if who.country != "RU" or who.asn == 64501 else ok())
    assert NET not in asks(world)


def test_between_two_lies_the_residual_time_and_an_hour_has_its_bound() -> None:
    world, asked = one_failure(), NOTHING
    world.feed([fact(who, world.round, blocked()) for who in vantages(2)])
    at, times = now(world), list[int]()
    for _ in range(2 * 60):
        places = wanted(world.state, POLICY, at, asked)
        asked = remembered(asked, places, at, POLICY)
        times += [at] * len(places)
        at += MINUTE
    pauses = [after - before for before, after in pairwise(times)]
    assert min(pauses) >= 1000 * POLICY.rounds.residual_seconds
    assert (
        len([each for each in times if each - times[0] < 3_600_000]) == POLICY.retests.retest_most
    )
    hasty = replace(POLICY, retests=replace(POLICY.retests, retest_pause_seconds=1))
    soon = now(world) + MINUTE
    assert wanted(world.state, hasty, soon, Asked({NET: (now(world),)})) == {}


def test_one_vantage_causes_only_so_many_requests_a_day_for_all_targets() -> None:
    """Who always fails, or says so, must not use up the traffic of the others."""
    world, asked = one_failure(), NOTHING
    at, times = now(world), 0
    for n in range(3 * POLICY.retests.retest_asker_most):
        world.feed(
            [
                fact(who, world.round, blocked() if who.probe == "p-ru64501-0" else ok(), target=t)
                for who in vantages(3)
                for t in (f"wechat/a{n}", f"wechat/b{n}")
            ]
        )
        at = now(world)
        if at - now(one_failure()) > 80_000_000:
            break
        places = wanted(world.state, POLICY, at, asked)
        assert {question.asker for question in places.values()} <= {"p-ru64501-0"}
        asked = remembered(asked, places, at, POLICY)
        times += len(places)
    assert times == POLICY.retests.retest_asker_most
    later = at + 1000 * POLICY.retests.retest_asker_seconds
    assert remembered(asked, {}, later, POLICY) == NOTHING


def test_one_vantage_that_always_fails_leaves_half_of_the_hour_to_the_others() -> None:
    """It used up all six, and a block that the next one saw was asked about an hour later."""
    world, asked = World(standard()).quiet(), NOTHING
    lone, *others = vantages(3)
    for _ in range(5):
        world.feed([fact(lone, world.round, blocked())])
        places = wanted(world.state, POLICY, now(world), asked)
        asked = remembered(asked, places, now(world), POLICY)
        world.feed([fact(who, world.round, ok()) for who in others])
    assert 2 * len(asked.places[NET]) == POLICY.retests.retest_most
    world.feed([fact(lone, world.round, blocked())])
    assert wanted(world.state, POLICY, now(world), asked) == {}
    world.feed([fact(others[0], world.round, blocked())])
    assert question(world, asked) == Question(others[0].probe)


def failing(world: World, *numbers: int) -> World:
    """One more round, in which these vantages of the first network fail."""
    probes = {f"p-ru64501-{n}" for n in numbers}
    return world.run(1, by_probe(dict.fromkeys(probes, blocked())))


def question(world: World, asked: Asked = NOTHING, later: int = 0) -> Question | None:
    return wanted(world.state, POLICY, now(world) + later, asked).get(NET)


def test_a_few_others_are_asked_first_each_of_another_owner() -> None:
    people = vantages(10)
    twins = [Vantage(who.probe, people[5].owner) for who in people[6:]]
    world = failing(World([*people[:6], *twins]).quiet(), 0)
    first = question(world)
    assert first is not None
    assert first.asker == "p-ru64501-0"
    owners = {who.probe: who.owner for who in world.people}
    assert (
        len({owners[probe] for probe in first.whom})
        == len(first.whom)
        == POLICY.retests.retest_vantages
    )
    assert owners[first.asker] not in {owners[probe] for probe in first.whom}


def test_other_vantages_are_asked_in_other_rounds() -> None:
    asked = set[str]()
    for n in range(6):
        found = question(failing(World(vantages(6)).quiet().quiet(n), 0))
        assert found is not None
        assert len(found.whom) == POLICY.retests.retest_vantages
        asked |= set(found.whom)
    assert asked == {f"p-ru64501-{n}" for n in range(1, 6)}


def test_in_a_small_network_all_are_asked() -> None:
    for n in range(2, POLICY.retests.retest_vantages + 1):
        assert question(failing(World(vantages(n)).quiet(), 0)) == Question("p-ru64501-0")


def test_once_two_owners_fail_all_are_asked_at_once() -> None:
    world = failing(World(vantages(20)).quiet(), 0)
    first = question(world)
    assert first is not None
    asked = remembered(NOTHING, {NET: first}, now(world), POLICY)
    assert question(world, asked, MINUTE) is None
    world.feed([fact(who, world.round, blocked()) for who in world.people[:2]])
    second = question(world, asked)
    assert second is not None
    assert second.whom == ()
    # From then on the pause counts for all.
    asked = remembered(asked, {NET: second}, now(world), POLICY)
    assert question(world, asked, MINUTE) is None
    assert question(world, asked, 1000 * POLICY.retests.retest_pause_seconds) is not None


def test_all_are_asked_whether_a_quorum_holds() -> None:
    world = failing(World(vantages(10)).quiet(), *range(6))
    assert world.only.tier is Tier.LIKELY
    due = question(world, later=1000 * POLICY.confirmation.confirm_signature_seconds)
    assert due is not None
    assert due.whom == ()


def test_two_others_that_reach_the_service_are_an_answer_and_one_is_none() -> None:
    world = World(standard()).quiet()
    people = {who.probe[-1]: who for who in vantages(3)}
    world.feed([fact(people["0"], world.round, blocked())])
    assert asks(world) == (NET,)
    world.feed([fact(people["1"], world.round, ok())])
    assert asks(world) == (NET,)
    world.feed([fact(people["2"], world.round, ok())])
    assert asks(world) == ()


def test_where_one_owner_has_signatures_it_is_asked_again_when_those_of_two_confirm() -> None:
    world = World(standard()).quiet()
    silent = blocked(weight=0)
    said = {"p-ru64501-0": blocked(), "p-ru64501-1": silent, "p-ru64501-2": silent}
    world.run(2, by_probe(said))
    since = world.state.networks[f"{TARGET} RU 64501 probe"].layers["tls"].likely_since
    assert since
    assert world.only.tier is Tier.LIKELY
    due = since + 1000 * (
        POLICY.confirmation.confirm_signature_seconds - POLICY.retests.retest_round_seconds
    )
    assert wanted(world.state, POLICY, due - 1) == {}
    assert set(wanted(world.state, POLICY, due)) == {NET}


def test_a_quorum_of_single_failures_asks_again_until_a_vantage_is_sure() -> None:
    people = [*standard(), *vantages(5, "KZ", 64510)]
    world = World(people).quiet().run(1, in_network(64510, BLACKHOLE))
    each = world.state.networks[f"{TARGET} KZ 64510 probe"].layers["tcp"]
    assert each.likely_since
    assert each.rank < 2, "no vantage by itself is at the threshold"
    assert asks(world) == (("KZ", 64510, TARGET),)


def test_a_network_is_asked_for_so_many_targets_and_the_most_suspicious_first() -> None:
    world = World(standard()).quiet()
    people = vantages(3)
    said = [
        fact(who, world.round, blocked(), target=f"wechat/t{n:02}")
        for n in range(POLICY.retests.retest_targets + 3)
        for who in people[:1]
    ]
    world.feed([*said, *(fact(who, world.round, BLACKHOLE) for who in people[:1])])
    places = asks(world)
    assert len(places) == POLICY.retests.retest_targets
    assert {place[:2] for place in places} == {("RU", 64501)}
    assert NET not in places, "a bare time-out is less suspicious than a signature"


def test_a_quorum_is_measured_again_when_it_has_held_for_long_enough() -> None:
    world = World(standard()).quiet().run(1, in_network(64501, blocked()))
    assert world.only.tier is Tier.LIKELY
    since, hold = world.state.round, 1000 * POLICY.confirmation.confirm_signature_seconds
    length = 1000 * POLICY.retests.retest_round_seconds
    assert wanted(world.state, POLICY, since + hold - length - 1) == {}
    assert set(wanted(world.state, POLICY, since + hold - length)) == {NET}
    bare = World(standard()).quiet().run(2, in_network(64501, BLACKHOLE))
    assert bare.only.tier is Tier.LIKELY
    assert wanted(bare.state, POLICY, since + hold) == {}


def test_an_old_alarm_of_one_vantage_asks_no_more() -> None:
    world = World(standard()).quiet().run(40, by_probe({"p-ru64501-0": blocked()}))
    assert world.only.tier is Tier.UNCONFIRMED
    assert asks(world) == ()


def test_the_pace_divides_the_pause() -> None:
    world, fast = one_failure(), Policy(pace=60)
    asked = Asked({NET: (now(world),)})
    assert set(wanted(world.state, fast, now(world) + 4_000, asked)) == {NET}
