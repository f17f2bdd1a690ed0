"""Blocks and faults in a simulated fleet that takes turns and answers retests."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from benchmarks.detection import resumed
from benchmarks.world.alarms import CONFIRMED, LIKELY, PAGE
from benchmarks.world.blocks import FULL, PEERING, Block
from benchmarks.world.delays import town
from benchmarks.world.live import Live
from benchmarks.world.retesting import Found, Quiet, Saved, saved
from benchmarks.world.scene import SpreadScene
from monitor.detection.model import State
from monitor.detection.policy import Policy
from tests.benchmarks.test_world import CALM

HOUR_MS = 3_600_000


def test_a_block_is_confirmed_minutes_after_the_first_failure() -> None:
    short = replace(FULL, horizon_hours=1)
    given = {"seed": 1, "tries": 2, "policy": Policy(), "interval": 1_800_000, "rates": CALM}
    world = saved(town(5), [short], **given)
    found = world.tries[FULL.name]
    assert all(2 <= asked <= 4 for asked in found.asked)
    for likely, confirmed in zip(found.minutes[LIKELY], found.minutes[CONFIRMED], strict=True):
        assert 0 < likely < 9
        assert 3 < confirmed - likely < 7, "the time that a quorum must hold, and little more"
    whole = Found()
    whole.add(world)
    whole.add(saved(town(5), [replace(PEERING, horizon_hours=1), short], **given))
    both = whole.tries[FULL.name]
    assert both.minutes[LIKELY] == 2 * found.minutes[LIKELY], "whatever else is tried"
    assert len(both.asked) == 4
    assert whole.quiet.days == 2 * world.quiet.days
    assert whole.quiet.alarms[CONFIRMED] == 0


def test_a_run_that_was_cut_off_is_resumed(tmp_path: Path) -> None:
    jobs, done = [(300, 3, 1, None), (300, 3, 2, None)], list[object]()

    def work(_: object, some: Iterable[object]) -> Iterator[Found]:
        for job in some:
            done.append(job)
            blocks = {FULL.name: Saved({LIKELY: [math.inf, 1.5]}, [3, 4])}
            yield Found(blocks, Quiet(days=2.0))

    into = tmp_path / "found.jsonl"
    (first,) = resumed(jobs[:1], work, into)
    found = list(resumed(jobs, work, into))
    assert done == jobs
    assert found[0] == first
    assert [job for job, _ in found] == jobs
    assert list(resumed(jobs, work, into)) == found


def test_a_short_fault_without_signatures_pages_nobody() -> None:
    world = saved(
        town(3), [PEERING], seed=1, tries=2, policy=Policy(), interval=1_800_000, rates=CALM
    )
    assert world.tries[PEERING.name].minutes[PAGE] == [math.inf, math.inf]


def test_who_begins_after_a_block_sees_it_though_its_round_began_before() -> None:
    """A minute's measurements were drawn when it began, so blocks were seen half a minute late."""
    scene = SpreadScene(town(3), seed=1, interval=1_800_000, days=1, rates=CALM)
    n = next(n for n in range(30) if scene.starts(n, random.Random(1)))
    live = Live(scene, Policy(), random.Random(1), n=n)
    live.run(scene.round(n) + 1)
    ((start, _, index),) = live._turns
    assert scene.round(n) < live.now < start
    live.blocks = (Block(scene.people[index].asn, live.now, share=1.0),)
    live.run(start + 1)
    facts = [fact for _, _, fact, _ in live._due if fact is not None]
    assert [(fact.started, fact.verdict.state) for fact in facts] == [(start, State.BLOCKED)]


def test_a_copy_goes_on_by_itself_and_alike() -> None:
    scene = SpreadScene(town(3), seed=1, interval=1_800_000, days=1, rates=CALM)
    live = Live(scene, Policy(), random.Random(1))
    live.run(scene.round(120))
    copy, state = live.copy(random.Random(2)), live.state
    copy.run(copy.now + HOUR_MS)
    assert live.state == state
    assert copy.state.round > state.round
