"""Runs of others in place of a control, for a monitor that has none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from msgspec.structs import replace

from monitor.detection.events.confidence import probability
from monitor.detection.events.explain import STOOD_IN, series_rounds
from monitor.detection.model import (
    OWN_SOURCE,
    Event,
    EventState,
    Layer,
    LayerFinding,
    Share,
    State,
    Technique,
    Tier,
    Verdict,
)
from tests.monitor.detection.worlds import (
    INTERVAL,
    Vantage,
    World,
    fact,
    ok,
    says,
    vantages,
)

HOUR = 3_600_000
HOURLY = HOUR // INTERVAL
HERE = Vantage("p-here", "owner-here", "RU", 64501)


def volunteers(country: str, asn: int) -> Vantage:
    """The runs of a network that others publish."""
    return Vantage("ooni", "ooni", country, asn, source="ooni")


def alone(layer: Layer = Layer.TLS) -> Verdict:
    """What a vantage without a control says when it fails."""
    return replace(says(State.INCONCLUSIVE, "no_control"), layer=layer)


def reached(*layers: Layer) -> Verdict:
    """A run that worked, with the layers that it passed."""
    findings = tuple(LayerFinding(layer=layer, blocked=False, rule="works") for layer in layers)
    return replace(ok(), findings=findings)


FAILED = replace(says(State.INCONCLUSIVE), layer=Layer.TCP)
WEB = reached(Layer.DNS, Layer.TCP, Layer.TLS)
FR, FR_2, DE, RU, RU_2, ZZ = (
    volunteers(country, 1 + n) for n, country in enumerate(("FR", "FR", "DE", "RU", "RU", "ZZ"))
)


def told(
    runs: Iterable[tuple[Vantage, Verdict]],
    *,
    verdict: Verdict | None = None,
    people: Sequence[Vantage] = (HERE,),
    begins: int = 0,
    rounds: int = 24,
) -> World:
    """Vantages that reach the target for some rounds and fail from round `begins` on, while others
    publish these runs: at first, and where it begins to fail at once, in each hour."""
    world = World(list(people)).quiet(rounds=6)
    for number in range(rounds):
        says_now = ok() if number < begins else verdict or alone()
        facts = [fact(who, world.round, says_now, control=False) for who in people]
        if number == 0 or (not begins and number % HOURLY == 0):
            facts += [fact(who, world.round, run) for who, run in runs]
        world.feed(facts)
    return world


def ours(world: World) -> list[Event]:
    return [event for event in world.events.values() if event.source == OWN_SOURCE]


def only(world: World) -> Event:
    (event,) = ours(world)
    return event


def test_a_lone_probe_has_an_event_that_names_what_stands_in_for_a_control() -> None:
    event = only(told([(FR, WEB), (FR_2, WEB), (DE, WEB)]))
    assert (event.tier, event.control) == (Tier.UNCONFIRMED, "none")
    assert {"no_control", "control_by_runs_of_others"} <= set(event.against)
    assert probability(event) is None
    (network,) = event.networks
    assert network.stand_in is not None
    assert (network.stand_in.networks, network.stand_in.countries) == (3, 2)
    assert 0 < network.stand_in.last - network.stand_in.first <= HOUR


@pytest.mark.parametrize(("failed", "extent"), [(3, "full"), (1, "partial")])
def test_its_extent_is_that_of_the_endpoints_which_fail(failed: int, extent: str) -> None:
    verdict = replace(alone(), endpoints=Share(total=3, failed=failed))
    assert only(told([(FR, WEB), (DE, WEB)], verdict=verdict)).extent == extent


def test_it_is_never_confirmed_whoever_agrees_for_however_long() -> None:
    event = only(told([(FR, WEB), (DE, WEB)], people=vantages(5), rounds=60))
    assert event.tier is Tier.LIKELY


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [(FR, WEB)],
        [(RU, WEB), (RU_2, WEB)],
        [(FR, WEB), (ZZ, WEB)],
        [(FR, reached(Layer.DNS, Layer.TCP)), (DE, reached(Layer.DNS, Layer.TCP))],
        [(FR, FAILED), (DE, FAILED), (FR_2, FAILED)],
        [(FR, WEB), (DE, WEB), (FR_2, FAILED)],
    ],
    ids=[
        "none", "one network", "same country", "place unknown", "another method", "failing",
        "a third fails",
    ],
)  # fmt: skip
def test_what_does_not_stand_in_opens_nothing(runs: list[tuple[Vantage, Verdict]]) -> None:
    assert ours(told(runs)) == []


def test_runs_of_hours_before_do_not_stand_in() -> None:
    """They reached it an hour before it began to fail here, and none since."""
    world = told([(FR, WEB), (DE, WEB)], begins=HOURLY, rounds=40)
    assert ours(world) == []


def test_quic_is_not_reached_by_runs_over_tcp() -> None:
    world = told([(FR, WEB), (DE, WEB), (FR_2, WEB)], verdict=alone(Layer.QUIC))
    assert ours(world) == []


def test_runs_that_pass_tell_nothing_of_speed() -> None:
    slow = replace(alone(), technique=Technique.THROTTLE_SNI)
    assert ours(told([(FR, WEB), (DE, WEB)], verdict=slow)) == []


def test_the_same_run_twice_is_one_network() -> None:
    world = told([(FR, WEB), (FR, WEB)])
    assert ours(world) == []


@pytest.mark.parametrize(("later", "outcome"), [(0, STOOD_IN), (2 * HOURLY, "unproven")])
def test_a_round_tells_whether_something_stood_in(later: int, outcome: str) -> None:
    """For an hour after the newest runs, and no longer."""
    world = told([(FR, WEB), (DE, WEB)], rounds=2 * HOURLY - 3)
    for _ in range(later):
        world.feed([fact(HERE, world.round, alone(), control=False)])
    before, round = world.state, world.round
    facts = (fact(HERE, round, alone(), control=False),)
    world.feed(facts)
    frames = series_rounds(before, world.state, round, facts, {}, world.policy)
    (vantage,) = frames["RU", OWN_SOURCE][0].vantages
    assert (vantage.outcome, vantage.measurement) == (outcome, facts[0].id)


def test_it_ends_when_the_vantage_reaches_it_again() -> None:
    world = told([(FR, WEB), (DE, WEB)])
    world.run(200, lambda n, who: ok())
    assert only(world).state is EventState.CLOSED


def test_until_newer_runs_are_published_what_was_known_stays() -> None:
    """The vantage fails on without a stand-in: no evidence is added, and none is lost."""
    world = told([(FR, WEB), (DE, WEB)])
    before = only(world)
    for _ in range(30):
        world.feed([fact(HERE, world.round, alone(), control=False)])
    after = only(world)
    assert after.state is EventState.OPEN
    assert after.rule_counts == before.rule_counts
    assert after.networks[0].nats == before.networks[0].nats
