"""What is said in worlds with and without blocks, and what is true."""

from __future__ import annotations

import random
from dataclasses import replace

from benchmarks.world.calibration import counted, figures
from benchmarks.world.rates import BLOCKING, MINUTE_MS, Trouble
from benchmarks.world.scene import START, Scene
from benchmarks.world.statements import (
    INTERVAL,
    SIZES,
    fault_ones,
    plan,
    quiet_ones,
    true_ones,
)
from benchmarks.world.vantages import settled
from monitor.detection.events.confidence import TERMS, WEIGHTS
from monitor.detection.model import Tier
from monitor.detection.policy import Policy
from tests.benchmarks.test_world import CALM

SHORT = replace(BLOCKING, longest_minutes=90.0)


def test_a_calm_world_says_nothing_and_faults_of_networks_are_tried_one_by_one() -> None:
    faulty = replace(CALM, peering=Trouble(6, 90, 1.0))
    assert not quiet_ones(1, 1, Policy(), faulty, (3,))
    stories = fault_ones(1, 3, Policy(), faulty, (3,))
    assert {true for story in stories for _, true, _ in story.said} == {False}
    assert {tier for story in stories for (tier, _, _), _, _ in story.said} >= {
        Tier.UNCONFIRMED,
        Tier.LIKELY,
    }
    assert {story.weight for story in stories} == {6 / 3}
    assert {story.cause for story in stories} == {"peering, alone"}


def test_local_troubles_go_on_in_the_worlds_without_faults_of_networks() -> None:
    filtered = replace(CALM, local_filter=Trouble(20, 600, 1.0))
    stories = quiet_ones(1, 6, Policy(), filtered, (3,))
    assert stories
    assert {story.weight for story in stories} == {365 / 6 / 3}
    assert {story.cause.partition(" ")[2] for story in stories} == {"local_filter"}


def test_a_block_is_said_truly_while_it_lasts_and_while_it_is_clearing() -> None:
    stories = true_ones(1, 2, Policy(), CALM, SHORT, (3,))
    stands = counted(stories)
    rounds = {true: sum(n for (_, t), n in stands.items() if t is true) for true in (True, False)}
    assert rounds[True] > rounds[False] == 0
    said = figures(stories, WEIGHTS)
    assert any(tier is Tier.CONFIRMED and true for (tier, _, _), true in said)
    assert {len(values) for (_, values, _), _ in said} == {len(TERMS)}
    assert sum(said.values()) < sum(stands.values())


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
