"""Vantages of one network that disagree for long."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from monitor.detection.events import confidence, split
from monitor.detection.events.state import TargetNetwork
from monitor.detection.model import EventState, State, Technique, Tier, Verdict
from tests.monitor.detection.worlds import (
    INJECTED,
    INTERVAL,
    POLICY,
    START,
    Script,
    Vantage,
    World,
    blocked,
    by_probe,
    ok,
    vantages,
)

HOUR = 12
"""Rounds."""
LONG = POLICY.ms(POLICY.parts.split_seconds) // INTERVAL


def people(n: int = 6) -> list[Vantage]:
    return [*vantages(n), *vantages(3, "FR", 64503)]


def names(*numbers: int) -> list[str]:
    return [f"p-ru64501-{n}" for n in numbers]


def saying(verdict: Verdict | None, *numbers: int) -> Script:
    return by_probe(dict.fromkeys(names(*numbers), verdict))


def network(world: World) -> TargetNetwork:
    (found,) = [each for each in world.state.networks.values() if each.asn == 64501]
    return found


def watched(world: World, layer: str = "tls") -> tuple[str, ...]:
    here = network(world)
    return split.on_watch(here, here.layers[layer], world.state.round, POLICY)


def test_a_part_of_a_network_is_likely_after_a_while_and_says_so() -> None:
    world = World(people()).quiet().run(LONG, saying(blocked(), 0, 1))
    assert world.only.tier is Tier.UNCONFIRMED
    world.run(4, saying(blocked(), 0, 1))
    event = world.only
    assert (event.tier, event.extent) == (Tier.LIKELY, "partial")
    assert "network_divided" in event.against
    assert (event.agreeing, event.total) == (2, 6)
    assert event.onset == START + 3 * INTERVAL
    assert world.kinds()[-1] == "likely"
    assert event.history[-1].divided
    assert {probe for each in event.networks for probe, _ in each.watch} == set(names(0, 1))


def test_a_part_alone_is_never_confirmed_whoever_goes_to_bed() -> None:
    world = World(people()).quiet().run(4 * HOUR, saying(blocked(), 0, 1))
    asleep = {**dict.fromkeys(names(0, 1), blocked()), **dict.fromkeys(names(3, 4, 5))}
    world.run(8 * HOUR, by_probe(asleep))
    world.run(40 * HOUR, saying(blocked(), 0, 1))
    assert world.only.tier is Tier.LIKELY
    assert world.only.state is EventState.OPEN


def test_when_the_rest_is_blocked_too_it_is_the_whole_network() -> None:
    world = World(people()).quiet().run(4 * HOUR, saying(blocked(), 0, 1))
    world.run(HOUR, saying(blocked(), 0, 1, 2, 3, 4, 5))
    event = world.only
    assert (event.tier, event.extent) == (Tier.CONFIRMED, "full")
    assert "network_divided" not in event.against


def test_a_part_that_recovers_ends_the_event() -> None:
    world = World(people()).quiet().run(4 * HOUR, saying(blocked(), 0, 1)).quiet(HOUR)
    assert world.only.state is EventState.CLOSED


def test_one_vantage_is_on_watch_and_no_more() -> None:
    world = World(people()).quiet().run(LONG, saying(blocked(), 0))
    assert watched(world) == ()
    world.run(4, saying(blocked(), 0))
    assert watched(world) == tuple(names(0))
    world.run(6 * HOUR, saying(blocked(), 0))
    assert world.only.tier is Tier.UNCONFIRMED
    (seen,) = world.only.networks
    assert seen.watch == ((names(0)[0], START + 3 * INTERVAL),)
    world.quiet(HOUR)
    assert world.only.state is EventState.CLOSED


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(
            lambda n, who: (
                blocked() if who.probe == names(0)[0]
                else blocked(Technique.TLS_TIMEOUT_SNI) if who.probe == names(1)[0] else ok()
            ),
            id="another signature each",
        ),
        pytest.param(
            lambda n, who: (
                blocked(weight=0) if who.probe in names(0, 1) else ok()
            ),
            id="no signature",
        ),
        pytest.param(
            lambda n, who: (
                blocked() if who.probe in names(0, 1) and n % 2 else ok()
            ),
            id="half of the samples",
        ),
        pytest.param(
            lambda n, who: (
                INJECTED if who.probe == names(0)[0]
                else INJECTED if who.probe == names(1)[0] and n > 7 * HOUR else ok()
            ),
            id="hours apart",
        ),
    ],
)  # fmt: skip
def test_troubles_of_their_own_are_no_part(script: Script) -> None:
    world = World(people()).quiet().run(12 * HOUR, script)
    assert {event.tier for event in world.events.values()} == {Tier.UNCONFIRMED}


def test_one_owner_is_no_part() -> None:
    owned = [
        Vantage(who.probe, "one", who.country, who.asn) if who.probe in names(0, 1) else who
        for who in people()
    ]
    world = World(owned).quiet().run(6 * HOUR, saying(blocked(), 0, 1))
    assert world.only.tier is Tier.UNCONFIRMED


def test_nobody_is_apart_where_nobody_sees_the_service() -> None:
    """The others say nothing: there is no telling what they would see."""
    mute = {**dict.fromkeys(names(0, 1), blocked())}
    silent = Verdict(target="wechat/messaging", state=State.INSUFFICIENT, rule="insufficient")
    mute |= dict.fromkeys(names(2, 3, 4, 5), silent)
    world = World(people()).quiet().run(6 * HOUR, by_probe(mute))
    assert watched(world) == ()


def test_those_who_always_fail_gain_nothing() -> None:
    """Two of six lie from their enrolment on: they have no vote, so they are no part."""
    policy = POLICY
    crowd = [Vantage(w.probe, w.owner, w.country, w.asn, START) for w in people()]
    world = World(crowd, policy).run(40 * HOUR, saying(blocked(), 0, 1))
    assert world.events == {}
    assert watched(world) == ()


def test_a_divided_network_has_no_figure() -> None:
    world = World(people()).quiet().run(4 * HOUR, saying(blocked(), 0, 1))
    assert confidence.probability(world.only) is None
    assert confidence.probability(replace(world.only, tier=Tier.CONFIRMED)) is not None
