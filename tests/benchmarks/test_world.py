from __future__ import annotations

import random
from dataclasses import replace

from benchmarks.world import verdicts
from benchmarks.world.alarms import WARM_DAYS, Tally, watch
from benchmarks.world.blocks import BLACKHOLE, FULL, RAMP
from benchmarks.world.costs import fleet, measured, same_after_restarts
from benchmarks.world.delays import town, tried
from benchmarks.world.faults import CONTROL
from benchmarks.world.rates import RATES, Rates, Trouble
from benchmarks.world.scene import ARRIVES_MS, START, Scene, decided
from benchmarks.world.vantages import Nature, populate, settled
from monitor.detection.model import State
from monitor.detection.policy import Policy

POLICY = Policy()
INTERVAL = 300_000
NEVER = Trouble(0, 1, 0)
CALM = Rates(
    path=NEVER,
    vantage_target=NEVER,
    local_filter=NEVER,
    peering=NEVER,
    network_outage=NEVER,
    service_outage=NEVER,
    portal=NEVER,
    proxy=NEVER,
    clock=NEVER,
    control_outage=NEVER,
    control_failure=0,
    p0_mean=1e-6,
    online_day=1,
    online_night=1,
    missed=0,
)


def scene(rates: Rates = RATES, days: float = 3, seed: int = 1, **more: float) -> Scene:
    return Scene(settled((3,), **more), seed=seed, interval=INTERVAL, days=days, rates=rates)


def states(rates: Rates, rounds: int = 288, **more: float) -> list[State]:
    world, rng = scene(rates, **more), random.Random(1)
    return [fact.verdict.state for n in range(rounds) for fact in world.facts(n, rng)]


def test_the_same_seed_is_the_same_world() -> None:
    one, other = (scene().facts(40, random.Random(7)) for _ in range(2))
    assert one == other
    assert one != scene(seed=2).facts(40, random.Random(7))


def test_calm_is_all_well() -> None:
    assert set(states(CALM)) == {State.OK}
    assert len(states(CALM)) == 288 * 9


def test_stray_failures_have_their_mean_and_a_long_tail() -> None:
    people = populate(settled((2000,)), RATES, random.Random(3))
    rates = sorted(person.p0 for person in people)
    assert 0.016 < sum(rates) / len(rates) < 0.024
    assert rates[len(rates) // 2] < 0.01 < 0.1 < rates[-1] <= RATES.p0_most


def test_an_outage_of_the_service_fails_for_the_control_and_accuses_hardly_anybody() -> None:
    rates = replace(CALM, service_outage=Trouble(365, 600, 1.0))
    said = states(rates)
    assert said.count(State.DOWN) > 50 * said.count(State.BLOCKED)
    assert State.OK in said


def test_a_dark_network_is_offline_and_a_peering_fault_is_not() -> None:
    dark = states(replace(CALM, network_outage=Trouble(365, 600, 1.0, 1.0)))
    assert set(dark) == {State.OK, State.VANTAGE_OFFLINE}
    assert set(states(replace(CALM, peering=Trouble(365, 600, 1.0)))) == {State.OK, State.BLOCKED}


def test_a_control_that_is_gone_supports_nothing() -> None:
    rates = replace(CALM, control_outage=Trouble(3650, 1e6, 1.0), peering=Trouble(3650, 1e6, 1.0))
    world = scene(rates)
    facts = [fact for n in range(200, 288) for fact in world.facts(n, random.Random(n))]
    assert {fact.control for fact in facts} == {False}
    assert {fact.verdict.state for fact in facts} == {State.INCONCLUSIVE}


def test_churn_follows_the_hour() -> None:
    world = scene(replace(CALM, online_night=0.2), days=40)
    present = [0] * 24
    for n in range(0, 288 * 30, 12):
        mine = [f for f in world.facts(n, random.Random(n)) if f.country == "AA"]
        present[n // 12 % 24] += len(mine)
    assert present[4] < 40 < 70 < present[16]


def test_who_has_habits_is_off_at_the_same_hours_every_night() -> None:
    world = scene(replace(CALM, online_night=0.3, habits=True), days=3)
    nights = [world.on(START + day * 86_400_000 + 4 * 3_600_000) for day in range(3)]
    assert nights[0] == nights[1] == nights[2]
    assert 0 < len(nights[0]) < len(world.on(START + 16 * 3_600_000)) <= len(world.people)


def test_liars_lie_from_the_first_day() -> None:
    for nature, state in ((Nature.ALWAYS_FAIL, State.BLOCKED), (Nature.ALWAYS_OK, State.OK)):
        networks = town(5, liars=2, lie=nature)
        world = Scene(networks, seed=1, interval=INTERVAL, days=1, rates=CALM)
        block = (FULL.block(64501, 0),) if nature is Nature.ALWAYS_OK else ()
        facts = world.facts(9, random.Random(1), block, only=64501)
        assert [fact.verdict.state is state for fact in facts][:2] == [True, True]
        assert sum(fact.verdict.state is state for fact in facts) <= 3


def test_blocks_grow_and_carry_their_signature() -> None:
    ramp = RAMP.block(1, 1000)
    assert ramp.rate(999) == 0
    assert ramp.rate(1000 + 12 * 3_600_000) == 0.49
    assert ramp.rate(10**12) == 0.98
    world = scene(CALM)
    signature, bare = (
        [
            fact.verdict
            for n in range(100)
            for fact in world.facts(n, random.Random(n), (each.block(64501, 0),), only=64501)
        ]
        for each in (FULL, BLACKHOLE)
    )
    assert signature.count(verdicts.NAMED_ANYWHERE) > 250
    assert {verdict.rule for verdict in bare} == {verdicts.BLACKHOLE.rule, verdicts.OK.rule}


def test_a_round_is_decided_when_all_are_there_or_its_time_is_up() -> None:
    facts = scene(CALM).facts(1, random.Random(1))
    assert decided(facts, len(facts)) == max(fact.started for fact in facts) + ARRIVES_MS
    assert decided(facts, len(facts) + 1) == facts[0].round + INTERVAL + 30_000


def test_a_block_is_found_and_a_calm_world_raises_nothing() -> None:
    short = replace(FULL, horizon_hours=2.0)
    found = tried(town(3), [short], seed=1, interval=INTERVAL, tries=2, policy=POLICY, rates=CALM)[
        FULL.name
    ]
    assert len(found.minutes["likely"]) == 2
    assert all(minutes <= 21 for minutes in found.minutes["confirmed"])
    assert all(abs(minutes) <= 6 for minutes in found.onsets)
    quiet = watch(settled((3,)), seed=1, interval=INTERVAL, days=1, policy=POLICY, rates=CALM)
    assert not quiet.alarms
    assert quiet.facts == 9 * 288 * (WARM_DAYS + 1)
    whole = Tally()
    whole.add(quiet)
    whole.add(quiet)
    assert whole.series_years(3) == 6 / 365


def test_cost_and_restarts() -> None:
    cost = measured(2, 0.1, 3, POLICY)
    assert cost.microseconds > 0
    assert cost.encoded > 0
    round = fleet(POLICY, series=60, services=2, networks=2, days=0.1)
    assert round.series == 60
    assert round.facts == 60 // 3 * 5
    assert same_after_restarts(POLICY)[1]


def test_the_control_is_nobody_of_the_people() -> None:
    assert CONTROL not in {person.index for person in scene().people}
