"""Blocks and faults in a simulated fleet that takes turns and answers retests."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from benchmarks.world.alarms import CONFIRMED, LIKELY, PAGE
from benchmarks.world.blocks import FULL, PEERING
from benchmarks.world.delays import town
from benchmarks.world.live import Live
from benchmarks.world.retesting import Saved, saved
from benchmarks.world.scene import SpreadScene
from monitor.detection.policy import Policy
from tests.benchmarks.test_world import CALM

HOUR_MS = 3_600_000


def test_a_block_is_confirmed_minutes_after_the_first_failure() -> None:
    short = replace(FULL, horizon_hours=1)
    found = saved(town(5), short, seed=1, tries=2, policy=Policy(), interval=1_800_000, rates=CALM)
    assert all(2 <= asked <= 4 for asked in found.asked)
    for likely, confirmed in zip(found.minutes[LIKELY], found.minutes[CONFIRMED], strict=True):
        assert 0 < likely < 9
        assert 5 < confirmed - likely < 8, "the time that a quorum must hold, and little more"
    whole = Saved()
    whole.add(found)
    whole.add(found)
    assert len(whole.asked) == len(whole.minutes[LIKELY]) == 4


def test_a_short_fault_without_signatures_pages_nobody() -> None:
    found = saved(
        town(3), PEERING, seed=1, tries=2, policy=Policy(), interval=1_800_000, rates=CALM
    )
    assert found.minutes[PAGE] == [math.inf, math.inf]


def test_a_copy_goes_on_by_itself_and_alike() -> None:
    scene = SpreadScene(town(3), seed=1, interval=1_800_000, days=1, rates=CALM)
    live = Live(scene, Policy(), random.Random(1))
    live.run(scene.round(120))
    copy, state = live.copy(), live.state
    copy.run(copy.now + HOUR_MS)
    assert live.state == state
    assert copy.state.round > state.round
