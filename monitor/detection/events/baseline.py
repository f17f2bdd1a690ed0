# SPDX-License-Identifier: Apache-2.0
"""How often a vantage fails under normal conditions: hourly counts over a week, with a lag.

The lag keeps the beginning of a block out of the baseline. `learn` is not called for an alarmed
vantage, so that a long block does not become normal.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from struct import Struct

from monitor.detection.events.state import Baseline
from monitor.detection.policy import Policy

STRETCHES = 28
"""The number of longer stretches into which the window is divided, so that the state stays
small."""
FLOOR_PER_MILLE = 1
"""The lowest failure rate: however good a vantage, one failure is no proof."""


_COUNT = Struct("<IHH")
"""Number of a stretch of time since 1970, samples, failed samples."""
_MOST = 0xFFFF
_SHORTEST_MS = 1000
"""No hour of any pace is shorter: its number must fit into 32 bits."""


def learn(baseline: Baseline, round: int, failed: bool, policy: Policy) -> Baseline:
    """Return the baseline with one sample of a round counted and the window moved on."""
    width = max(_SHORTEST_MS, policy.ms(policy.baseline_bucket_seconds))
    hour = round // width
    if baseline.hour != hour:
        baseline = _moved(baseline, round, width, policy)
    return Baseline(
        baseline.total,
        baseline.failed,
        baseline.recent_total + 1,
        baseline.recent_failed + failed,
        hour,
        baseline.hours,
        baseline.stretches,
    )


def _moved(baseline: Baseline, round: int, width: int, policy: Policy) -> Baseline:
    """The baseline with its newest hour closed, hours older than the lag added to the window, and
    stretches older than the window dropped."""
    lagged = round - policy.ms(policy.baseline_lag_seconds)
    oldest = lagged - policy.ms(policy.baseline_seconds)
    length = max(width, policy.ms(policy.baseline_seconds) // STRETCHES)
    # An hour to come: it was counted under another pace, and its hours had another length.
    new = Baseline() if baseline.hour > round // width else copy(baseline)
    if new.hour >= 0:
        closed = list(counts(new.hours))
        total = new.recent_total - sum(total for _, total, _ in closed)
        failed = new.recent_failed - sum(failed for _, _, failed in closed)
        new.hours += _packed(new.hour, total, failed)
    while new.hours:
        hour, total, failed = _COUNT.unpack_from(new.hours)
        if (hour + 1) * width > lagged:
            break
        new.hours = new.hours[_COUNT.size :]
        new.recent_total, new.recent_failed = new.recent_total - total, new.recent_failed - failed
        new.total, new.failed = new.total + total, new.failed + failed
        stretch = hour * width // length
        if new.stretches:
            last, earlier, earlier_failed = _COUNT.unpack(new.stretches[-_COUNT.size :])
            if last == stretch:
                new.stretches = new.stretches[: -_COUNT.size]
                total, failed = total + earlier, failed + earlier_failed
        new.stretches += _packed(stretch, total, failed)
    while (
        new.stretches and ((first := _COUNT.unpack_from(new.stretches))[0] + 1) * length <= oldest
    ):
        new.stretches = new.stretches[_COUNT.size :]
        new.total, new.failed = new.total - first[1], new.failed - first[2]
    return new


def _packed(number: int, total: int, failed: int) -> bytes:
    """The counts of a stretch of time: one entry, or more when they are too large for one."""
    packed = b""
    while total > _MOST:
        packed += _COUNT.pack(number, _MOST, min(failed, _MOST))
        total, failed = total - _MOST, max(0, failed - _MOST)
    return packed + _COUNT.pack(number, total, failed)


def counts(packed: bytes) -> Iterator[tuple[int, int, int]]:
    """(number, samples, failed samples) of each stretch of time, oldest first."""
    return _COUNT.iter_unpack(packed)


def rate(baseline: Baseline, policy: Policy) -> tuple[int, int]:
    """The failure rate p0 as numerator and denominator, shrunk to the prior and not below
    FLOOR_PER_MILLE."""
    return _shrunk(baseline.total, baseline.failed, policy.prior_weight, policy)


def chronic(baseline: Baseline, policy: Policy) -> bool:
    """Whether the vantage fails so often that its failures mean nothing: by the baseline, or by all
    samples, recent hours included, with a lighter prior. So a vantage that never worked loses its
    vote within hours.
    """
    failed = baseline.failed + baseline.recent_failed
    if failed * 1000 <= policy.chronic_per_mille * policy.chronic_weight:
        return False
    total = baseline.total + baseline.recent_total
    shrunk = (
        rate(baseline, policy),
        _shrunk(total, failed, policy.chronic_weight, policy),
    )
    return any(above * 1000 > policy.chronic_per_mille * below for above, below in shrunk)


def _shrunk(total: int, failed: int, weight: int, policy: Policy) -> tuple[int, int]:
    below = 1000 * (total + weight)
    above = 1000 * failed + weight * policy.prior_failure_per_mille
    return max(above, below * FLOOR_PER_MILLE // 1000), below
