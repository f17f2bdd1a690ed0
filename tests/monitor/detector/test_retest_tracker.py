"""What is asked for, and when, over the states that the detector goes through."""

from __future__ import annotations

from monitor.detection.model import Tier
from monitor.detector.retest_publisher import LATE, requests
from monitor.detector.retest_tracker import LOOK_SECONDS, Suspecting
from tests.monitor.detection.worlds import (
    INTERVAL,
    POLICY,
    TARGET,
    World,
    blocked,
    by_probe,
    in_network,
    standard,
)
from tests.monitor.fleet import PEOPLE, rounds

NET = ("RU", 64501, TARGET)


def stirred() -> tuple[World, Suspecting, int]:
    """A first failure, an empty memory, and the moment when its round is folded."""
    world = World(standard()).quiet().run(1, by_probe({"p-ru64501-0": blocked()}))
    return world, Suspecting(POLICY), world.state.round + INTERVAL


def test_what_has_just_begun_is_asked_for_once() -> None:
    world, suspecting, now = stirred()
    assert suspecting.places(world.state, now, anew=True) == (NET,)
    assert suspecting.places(world.state, now + 1000, anew=True) == ()
    assert Suspecting(POLICY).places(world.state, now, anew=False) == ()


def test_the_past_is_not_asked_for() -> None:
    world, suspecting, now = stirred()
    late = POLICY.ms(POLICY.round_wait_seconds + 2 * POLICY.round_close_seconds)
    assert suspecting.places(world.state, world.state.round + late + 1, anew=True) == ()
    assert suspecting.places(world.state, now, anew=True) == (NET,)


def test_controls_of_the_target_are_asked_as_well_while_they_are_there() -> None:
    world, suspecting, now = stirred()
    (control,) = {p for p in PEOPLE if p.country == "DE"}
    stored = rounds([0], target=TARGET, start=world.state.round)
    stored += rounds([0], target="wechat/elsewhere", start=world.state.round)
    suspecting.met("wechat", stored)
    assert suspecting.places(world.state, now, anew=True) == (NET, ("DE", control.asn, TARGET))
    # One that is silent for longer than it could be used is not.
    world, suspecting, now = stirred()
    long_ago = world.state.round - POLICY.ms(POLICY.control_window_seconds) - 1
    suspecting.met("wechat", rounds([0], target=TARGET, start=long_ago))
    assert suspecting.places(world.state, now, anew=True) == (NET,)


def test_what_is_likely_is_asked_for_when_it_is_due_without_a_new_round() -> None:
    world = World(standard()).quiet().run(2, in_network(64501, blocked()))
    assert world.only.tier is Tier.LIKELY
    suspecting, since = Suspecting(POLICY), world.state.round
    times = [
        at
        for at in range(since, since + 450_000, 1000)
        if suspecting.places(world.state, at, anew=False)
    ]
    hold = since + POLICY.ms(POLICY.confirm_typed_seconds)
    assert len(times) == 1
    assert hold - (1 - LATE) * POLICY.ms(POLICY.retest_round_seconds) <= times[0] < hold
    ((_, asked),) = requests([NET], times[0], POLICY)
    assert asked.round == hold, "in that round the quorum will have held for long enough"


def test_rounds_that_are_not_over_are_looked_into_now_and_then() -> None:
    suspecting, look = Suspecting(POLICY), POLICY.ms(LOOK_SECONDS)
    assert suspecting.peeks("wechat", 10**12) <= 10**12
    assert suspecting.peeks("wechat", 10**12 + 1) == 10**12 + look
    assert suspecting.peeks("signal", 10**12 + 1) <= 10**12 + 1
    assert suspecting.peeks("wechat", 10**12 + look) == 10**12 + look
    assert suspecting.peeks("wechat", 10**12 + look + 1) == 10**12 + 2 * look
