"""Columns and objects are one detector: the same facts give the same events and the same state."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from benchmarks.world import words
from benchmarks.world.people import settled
from benchmarks.world.rates import RATES, Rates
from benchmarks.world.scene import Scene
from monitor.detection.model import Fact
from monitor.detection.policy import Policy
from monitor.detection.sequence.fold import CALM_FROM, initial, step
from tests.monitor.detection.calm.both import Both
from tests.monitor.detection.sequence.test_fold_laws import ANYTHING, Said, scene, scripts
from tests.monitor.detection.worlds import INTERVAL, START, fact, ok, vantages

_CHANGES = (
    {"asn": 64509},
    {"asn": 0},
    {"country": "ZZ"},
    {"interval": 60_000},
    {"target": "wechat/web"},
    {"source": "ooni"},
    {"enrolled": START},
    {"owner": "one"},
    {"catalogue": "7"},
)


def _odd(facts: list[Fact], rng: random.Random) -> list[Fact]:
    """Some of the facts otherwise: vantages that move, age, double, or share a name."""
    odd = []
    for one in facts:
        if rng.random() < 0.15:
            one = replace(one, **rng.choice(_CHANGES))
        if rng.random() < 0.03:
            odd.append(replace(one, id=one.id[::-1], started=one.started + 7))
        if rng.random() < 0.02:
            one = replace(one, probe=facts[0].probe)
        odd.append(one)
    return odd


@given(scripts(3, ANYTHING, 14), st.integers(0, 2**32), st.booleans(), st.booleans())
@settings(max_examples=40, deadline=None)
def test_columns_say_what_objects_say(said: Said, seed: int, odd: bool, restarts: bool) -> None:
    both, rng = Both(restarts=restarts), random.Random(seed)
    for number, facts in enumerate(scene(said)):
        both.feed(START + number * INTERVAL, _odd(facts, rng) if odd else facts)


@pytest.mark.parametrize(("seed", "pace"), [(1, 1), (2, 12), (3, 12)])
def test_simulated_worlds_in_columns(seed: int, pace: int) -> None:
    """A day as it is, and days in which the baseline's window (14 hours at this pace)
    passes, with a block, so that vantages wake, are swept and calm down again."""
    policy = Policy(pace=pace)
    rates = RATES if pace == 1 else Rates(online_night=0.5)
    world = Scene(settled((3, 5)), seed=seed, interval=INTERVAL, days=1, rates=rates)
    rng = random.Random(f"both {seed}")
    both = Both(policy, restarts=seed == 3)
    events = 0
    for n in range(280):
        facts = world.facts(n, rng)
        if 200 <= n < 230:
            facts = [
                replace(one, verdict=words.SNI_RESET) if one.asn == 64501 else one for one in facts
            ]
        events += len(both.feed(world.round(n), facts, compare=n % 7 == 0))
    assert events > 20
    assert both.most >= 5


def test_only_a_large_service_is_kept_in_columns() -> None:
    people = [who for n in range(CALM_FROM) for who in vantages(1, asn=64500 + n)]
    state, _ = step(
        initial("wechat"), START, [fact(who, START, ok()) for who in people[1:]], Policy()
    )
    assert state.calm is None
    later = START + INTERVAL
    state, _ = step(state, later, [fact(who, later, ok()) for who in people], Policy())
    assert len(state.calm) == CALM_FROM
    assert state.networks == {}


def test_another_policy_wakes_everybody() -> None:
    people = vantages(3)
    both = Both()
    for n in range(3):
        at = START + n * INTERVAL
        both.feed(at, [fact(who, at, ok()) for who in people])
    assert both.most == 1
    both.policy = Policy(pace=12)
    at = START + 3 * INTERVAL
    both.feed(at, [fact(who, at, ok()) for who in people])


def test_who_is_not_heard_for_a_baseline_is_forgotten_in_columns_too() -> None:
    people, policy = vantages(3), Policy(pace=12)
    both = Both(policy)
    for n in range(200):
        at = START + n * INTERVAL
        both.feed(at, [fact(who, at, ok()) for who in (people if n < 5 else people[:2])])
    (network,) = dict(both.columns.calm.networks()).values()
    assert network.members.keys() == {who.probe for who in people[:2]}
