"""What is said in worlds with and without blocks, and what is true."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from benchmarks.world.rates import BLOCKING, MINUTE_MS, Trouble
from benchmarks.world.scene import START, Scene
from benchmarks.world.statements import INTERVAL, SIZES, Counts, false_ones, plan, true_ones
from benchmarks.world.vantages import settled
from monitor.detection.model import Tier
from monitor.detection.policy import Policy
from monitor.detection.sequence.confidence import TERMS
from tests.benchmarks.test_world import CALM

SHORT = replace(BLOCKING, longest_minutes=90.0)


def test_a_calm_world_says_nothing_and_peering_faults_weigh_less() -> None:
    assert not false_ones(1, 1, Policy(), CALM, (3,)).said
    faulty = replace(CALM, peering=Trouble(60, 90, 1.0))
    counts = false_ones(1, 1, Policy(), faulty, (3,))
    assert {true for _, true in counts.said} == {False}
    assert {tier for (tier, _), _ in counts.said} >= {Tier.UNCONFIRMED, Tier.LIKELY}
    assert min(counts.said.values()) == pytest.approx(365 / 3 / 8)


def test_a_block_is_said_truly_while_it_lasts_and_falsely_for_a_while_after() -> None:
    counts = true_ones(1, 2, Policy(), CALM, SHORT, (3,))
    stands = {
        true: sum(n for (_, t), n in counts.stands.items() if t is true) for true in (True, False)
    }
    assert stands[True] > stands[False] > 0
    assert any(tier is Tier.CONFIRMED and true for (tier, _), true in counts.said)
    assert {len(values) for (_, values), _ in counts.said} == {len(TERMS)}


def test_blocks_are_drawn_as_the_prior_says() -> None:
    scene = Scene(settled(SIZES), seed=1, interval=INTERVAL, days=1, rates=CALM)
    rng = random.Random(5)
    drawn = [plan(scene, START, rng, BLOCKING) for _ in range(2000)]
    assert {len(each) for each in drawn} == {1, 3}
    national = sum(len(each) == 3 for each in drawn) / len(drawn)
    assert abs(national - BLOCKING.national) < 0.05
    patchy = sum(each[0].whom is not None for each in drawn) / len(drawn)
    assert abs(patchy - BLOCKING.patchy) < 0.04
    for each in drawn:
        until = each[0].until
        assert until is not None
        lasts = (until - START) / MINUTE_MS
        assert BLOCKING.shortest_minutes - 1 < lasts < BLOCKING.longest_minutes + 1
        assert min(block.onset for block in each) == START


def test_counts_add_up() -> None:
    one, whole = Counts(), Counts()
    one.take((Tier.LIKELY, (1,)), True, 2.0, anew=True)
    one.take((Tier.LIKELY, (1,)), True, 2.0, anew=False)
    whole.add(one, 0.5)
    whole.add(one, 0.5)
    assert whole.said == {((Tier.LIKELY, (1,)), True): 2.0}
    assert whole.stands == {((Tier.LIKELY, (1,)), True): 4.0}
