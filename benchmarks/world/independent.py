# SPDX-License-Identifier: Apache-2.0
"""The detector's single CUSUM on independent noise, compared with the exact average run length."""

from __future__ import annotations

import random
import statistics
from dataclasses import dataclass

from msgspec.structs import replace

from monitor.detection.events import cusum
from monitor.detection.events.state import Baseline, Track
from monitor.detection.policy import Policy

MEMBER_P1 = (300, 800)
P0 = (50, 100)
"""Stray failures per mille; so many that a sample's clip never comes in."""
_SURE = 10_000_000
"""Samples in the baseline: its prior has no weight compared with them."""
NOTHING = 1e-16


@dataclass(frozen=True)
class Compared:
    """One member of the bank on one noise."""

    p0: int
    p1: int
    exact: float
    simulated: float
    error: float
    """Standard error of the simulated mean."""

    @property
    def agrees(self) -> bool:
        """Within three standard errors."""
        return abs(self.simulated - self.exact) <= 3 * self.error


def compared(p0: int, p1: int, runs: int, policy: Policy, seed: int) -> Compared:
    """Run the production code on independent noise until it alarms, `runs` times."""
    single = replace(policy, evidence=replace(policy.evidence, p1_per_mille=(p1,)))
    rng = random.Random(f"independent {seed} {p0} {p1}")
    failed = _SURE * p0 // 1000
    baseline = Baseline(_SURE, failed)
    failure = cusum.CountedFailure(
        id="f", started=0, rule="sim", weight=0, technique="", part=False
    )
    lengths = [_alarm(baseline, p0 / 1000, failure, single, rng) for _ in range(runs)]
    gain = cusum.evidence(cusum.fail(Track(baseline), 1, failure, single), single.evidence)
    high = cusum.fail(cusum.fail(Track(baseline), 1, failure, single), 2, failure, single)
    loss = cusum.evidence(high, single.evidence) - cusum.evidence(
        cusum.succeed(high, 3, single), single.evidence
    )
    return Compared(
        p0,
        p1,
        run_length(p0 / 1000, gain, loss, policy.evidence.threshold_micronats),
        statistics.fmean(lengths),
        statistics.stdev(lengths) / len(lengths) ** 0.5,
    )


def _alarm(
    baseline: Baseline,
    p0: float,
    failure: cusum.CountedFailure,
    policy: Policy,
    rng: random.Random,
) -> int:
    """Samples until the threshold is reached."""
    track, n = Track(baseline), 0
    while cusum.evidence(track, policy.evidence) < policy.evidence.threshold_micronats:
        n += 1
        if rng.random() < p0:
            track = cusum.fail(track, n, failure, policy)
        else:
            track = cusum.succeed(track, n, policy)
    return n


def run_length(p: float, gain: int, loss: int, threshold: int) -> float:
    """Mean number of samples until the sum reaches `threshold`, starting at zero, when a sample
    fails (adds `gain`) with chance `p` and else takes `loss`, never below zero.

    Exact (Brook and Evans 1972). The chain starts again at every return to zero, so one excursion
    is enough: the mean time between returns, over the chance that an excursion reaches the
    threshold. The sums are the detector's own integers, so nothing is approximated except that mass
    below `NOTHING` is dropped.
    """
    if gain <= 0 or loss <= 0:
        raise ValueError(f"gain {gain} and loss {loss} must be positive")
    mass, spent, reached = {0: 1.0}, 0.0, 0.0
    while mass:
        after: dict[int, float] = {}
        for held, chance in mass.items():
            spent += chance
            for moved, share in ((held + gain, p * chance), (held - loss, (1 - p) * chance)):
                if moved >= threshold:
                    reached += share
                elif moved > 0 and share > NOTHING:
                    after[moved] = after.get(moved, 0.0) + share
        mass = after
    return spent / reached
