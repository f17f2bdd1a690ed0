"""Whether what grows is told from what does not."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from tests.faults.growth import Sample, growth, more, sample


def _held(mb_an_hour: float, noise: float, minutes: int = 30) -> list[Sample]:
    rng = random.Random(1)
    return [
        Sample(s, 1, 100 + mb_an_hour * s / 3600 + rng.uniform(-noise, noise), 20, 3)
        for s in range(0, 60 * minutes, 10)
    ]


@pytest.mark.parametrize(
    ("mb_an_hour", "noise", "verdict"),
    [(0, 0.5, "flat"), (-3, 0.5, "flat"), (5, 0.5, "grows"), (1.2, 8, "unknown")],
    ids=["steady", "falls", "leaks", "too noisy"],
)
def test_a_slope_is_judged_with_its_uncertainty(
    mb_an_hour: float, noise: float, verdict: str
) -> None:
    slope = growth(_held(mb_an_hour, noise))
    assert slope is not None
    assert slope.verdict() == verdict
    assert abs(slope.mb_an_hour - mb_an_hour) <= 2 * slope.within


def test_a_short_time_has_no_slope() -> None:
    assert growth(_held(5, 0.5, minutes=10)) is None


def test_one_descriptor_that_stays_is_more_and_one_for_a_moment_is_not() -> None:
    assert more([20] * 10 + [21] * 20) == 1
    assert more([20, 20, 40, 20, 20, 20, 20, 20, 30]) == 0


def test_a_process_is_sampled_with_its_children() -> None:
    alone = sample(os.getpid(), 0)
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        both = sample(os.getpid(), 1)
    finally:
        child.kill()
        child.communicate()
    after = sample(os.getpid(), 2)
    assert alone is not None
    assert both is not None
    assert after is not None
    # A thread of an earlier test may end meanwhile.
    assert both.threads - 1 in (alone.threads, after.threads)
    assert sample(child.pid, 3) is None
