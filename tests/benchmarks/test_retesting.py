"""Retests on suspicion in the made-up world."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.world.alarms import CONFIRMED, LIKELY
from benchmarks.world.blocks import FULL
from benchmarks.world.delays import town
from benchmarks.world.retesting import WITH, WITHOUT, Saved, saved
from monitor.detection.policy import Policy
from tests.benchmarks.test_world import CALM


def test_a_retest_saves_minutes_and_is_asked_for_a_few_times() -> None:
    short = replace(FULL, horizon_hours=1)
    both = saved(town(3), short, seed=1, tries=2, policy=Policy(), rates=CALM)
    assert both[WITHOUT].asked == [0, 0]
    assert all(1 <= asked <= 4 for asked in both[WITH].asked)
    for tier in (LIKELY, CONFIRMED):
        for slow, quick in zip(both[WITHOUT].minutes[tier], both[WITH].minutes[tier], strict=True):
            assert 0 < quick <= slow < 25
    assert sum(both[WITH].minutes[CONFIRMED]) < sum(both[WITHOUT].minutes[CONFIRMED]) - 4
    whole = Saved()
    whole.add(both[WITH])
    whole.add(both[WITH])
    assert len(whole.asked) == len(whole.minutes[LIKELY]) == 4
