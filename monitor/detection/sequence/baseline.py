# SPDX-License-Identifier: Apache-2.0
"""How often a vantage fails when nothing is the matter: hourly counts over a week, lagged.

The lag keeps the beginning of a block out of what is called normal. Whoever alarms must not
call `learn` (the baseline is frozen then), else a long block would become normal.
"""

from __future__ import annotations

from monitor.detection.policy import Policy
from monitor.detection.sequence.state import Baseline, Bucket

STRETCHES = 28
"""Older hours are kept in so many coarser stretches of the window: the state stays small."""
FLOOR_PER_MILLE = 1
"""No vantage is so good that one failure would be proof."""


def learn(baseline: Baseline, round: int, failed: bool, policy: Policy) -> Baseline:
    """Return the baseline with one sample of a round counted and the window moved on."""
    width = max(1, policy.ms(policy.baseline_bucket_seconds))
    start = round - round % width
    if not baseline.fresh or baseline.fresh[-1].start != start:
        baseline = _moved(baseline, round, width, policy)
        last, fresh = Bucket(start, 0, 0), baseline.fresh
    else:
        *fresh, last = baseline.fresh
    counted = Bucket(start, last.total + 1, last.failed + failed)
    return Baseline([*fresh, counted], baseline.old, baseline.total, baseline.failed)


def _moved(baseline: Baseline, round: int, width: int, policy: Policy) -> Baseline:
    lagged = round - policy.ms(policy.baseline_lag_seconds)
    coarse = max(width, policy.ms(policy.baseline_seconds) // STRETCHES)
    fresh, old = list(baseline.fresh), list(baseline.old)
    while fresh and fresh[0].start + width <= lagged:
        hour = fresh.pop(0)
        start = hour.start - hour.start % coarse
        last = old.pop() if old and old[-1].start == start else Bucket(start, 0, 0)
        old.append(Bucket(start, last.total + hour.total, last.failed + hour.failed))
    oldest = lagged - policy.ms(policy.baseline_seconds)
    old = [stretch for stretch in old if stretch.start + coarse > oldest]
    return Baseline(
        fresh, old, sum(stretch.total for stretch in old), sum(stretch.failed for stretch in old)
    )


def rate(baseline: Baseline, policy: Policy) -> tuple[int, int]:
    """The failure rate p0 as numerator and denominator, shrunk to the prior and not below
    FLOOR_PER_MILLE."""
    return _shrunk(baseline.total, baseline.failed, policy.prior_weight, policy)


def chronic(baseline: Baseline, policy: Policy) -> bool:
    """Whether the vantage fails so often that its failures say nothing.

    Asked of the baseline and also of everything learnt, the lagged hours included, against a
    light prior: a vantage that was never seen to work must not wait a week to lose its vote.
    """
    failed = baseline.failed + sum(bucket.failed for bucket in baseline.fresh)
    if failed * 1000 <= policy.chronic_per_mille * policy.chronic_weight:
        return False
    total = baseline.total + sum(bucket.total for bucket in baseline.fresh)
    shrunk = (
        rate(baseline, policy),
        _shrunk(total, failed, policy.chronic_weight, policy),
    )
    return any(above * 1000 > policy.chronic_per_mille * below for above, below in shrunk)


def _shrunk(total: int, failed: int, weight: int, policy: Policy) -> tuple[int, int]:
    below = 1000 * (total + weight)
    above = 1000 * failed + weight * policy.prior_failure_per_mille
    return max(above, below * FLOOR_PER_MILLE // 1000), below
