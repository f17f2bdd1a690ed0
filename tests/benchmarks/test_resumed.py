"""Runs of worlds that are broken off and go on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from benchmarks.world.resumed import Work, resumed
from benchmarks.world.statements import Story
from benchmarks.world.worlds import Job
from monitor.detection.model import Tier

JOBS: list[Job] = [("mixture", seed, "hazards", 20) for seed in (1, 2, 3)]


def story(job: Job) -> list[Story]:
    likely, confirmed = (Tier.LIKELY, (0, 1, 1), ()), (Tier.CONFIRMED, (1, 1, 0), ("overloaded",))
    said = [(likely, False, 3), (confirmed, True, job[1])]
    return [Story(0.25, "a fault", said, "a kind")]


def test_what_was_played_is_not_played_again(tmp_path: Path) -> None:
    into, asked = tmp_path / "worlds.jsonl", list[Job]()

    def every(work: Work, jobs: Sequence[Job]) -> Iterable[list[Story]]:
        for job in jobs:
            if len(asked) == 2:
                raise KeyboardInterrupt
            asked.append(job)
            yield work(job)

    with pytest.raises(KeyboardInterrupt):
        resumed(every, into)(story, JOBS)
    asked.clear()
    assert list(resumed(every, into)(story, JOBS)) == list(map(story, JOBS))
    assert asked == JOBS[2:]
    assert list(resumed(map, None)(story, JOBS)) == list(map(story, JOBS))
