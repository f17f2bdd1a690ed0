"""Blocks in a night of sleepers."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from benchmarks.detection import STEADY
from benchmarks.world.blocks import BLACKHOLE, FULL, HOUR_MS
from benchmarks.world.delays import town
from benchmarks.world.nights import GOAL_MINUTES, Night, table, tried
from benchmarks.world.scene import START, SpreadScene
from monitor.detection.policy import Policy

HALF_AN_HOUR = 30


def test_who_sleeps_tells_in_the_morning() -> None:
    awake, asleep = (
        {night.block: night for night in tried((1800, 3, 31, 1, share), Policy(), STEADY)}
        for share in (0.0, 1.0)
    )
    assert awake[FULL.name].can_tell > asleep[FULL.name].can_tell == 0
    assert awake[FULL.name].confirmed <= GOAL_MINUTES < asleep[FULL.name].confirmed < math.inf
    assert GOAL_MINUTES < awake[BLACKHOLE.name].confirmed < math.inf


def test_the_few_who_are_awake_take_turns_among_themselves() -> None:
    """At five in the morning, where the same have been awake for hours."""
    rates, at = replace(STEADY, online_night=0.25, habits=True), START + 29 * HOUR_MS
    checked = 0
    for seed in range(12):
        scene = SpreadScene(town(10), seed=seed, interval=1_800_000, days=2, rates=rates)
        here = [
            {each.index for each in scene.on(at - ago * HOUR_MS) if each.asn == 64501}
            for ago in range(4)
        ]
        if here != [here[0]] * 4 or not 2 <= len(here[0]) <= 4:
            continue
        first, rng = (at - START) // 60_000, random.Random(1)
        turns = [
            minute
            for minute in range(HALF_AN_HOUR)
            for index in scene.starts(first + minute, rng)
            if index in here[0]
        ]
        assert len(turns) == len(here[0])
        gaps = [b - a for a, b in zip(turns, [*turns[1:], turns[0] + HALF_AN_HOUR], strict=True)]
        assert max(gaps) - min(gaps) <= 1
        checked += 1
    assert checked


@pytest.mark.parametrize(("late", "missed"), [(1, 0), (2, 1)])
def test_the_goal_is_for_blocks_that_two_can_tell(late: int, missed: int) -> None:
    nights = [Night(5, FULL.name, 2, 9.0, math.inf)] * (20 - late)
    nights += [Night(5, FULL.name, 3, 31.0, 31.0)] * late
    nights += [Night(5, FULL.name, 1, math.inf, math.inf), Night(5, BLACKHOLE.name, 4, 49.0, 90.0)]
    lines, goals = table(nights)
    assert len(goals) == missed
    assert f"{20 - late} of 20" in lines[-1]
