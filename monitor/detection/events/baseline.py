# SPDX-License-Identifier: Apache-2.0
"""How often a vantage fails under normal conditions: hourly counts over a week, with a lag.

The lag keeps the beginning of a block out of the baseline. `learn` is not called for an alarmed
vantage, so that a long block does not become normal.
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct

from monitor.detection.events.state import Baseline
from monitor.detection.policy import BaselinePolicy, Policy

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
    width = max(_SHORTEST_MS, policy.ms(policy.baseline.baseline_bucket_seconds))
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
    lagged = round - policy.ms(policy.baseline.baseline_lag_seconds)
    oldest = lagged - policy.ms(policy.baseline.baseline_seconds)
    length = max(width, policy.ms(policy.baseline.baseline_seconds) // STRETCHES)
    if baseline.hour > round // width:
        # An hour to come: it was counted under another pace, and its hours had another length.
        return Baseline()
    total, failed = baseline.total, baseline.failed
    recent, recent_failed = baseline.recent_total, baseline.recent_failed
    hours, stretches = baseline.hours, baseline.stretches
    if baseline.hour >= 0:
        closed = list(counts(hours))
        newest = recent - sum(count for _, count, _ in closed)
        newest_failed = recent_failed - sum(count for _, _, count in closed)
        hours += _packed(baseline.hour, newest, newest_failed)
    while hours:
        hour, count, bad = _COUNT.unpack_from(hours)
        if (hour + 1) * width > lagged:
            break
        hours = hours[_COUNT.size :]
        recent, recent_failed = recent - count, recent_failed - bad
        total, failed = total + count, failed + bad
        stretches = _with_hour(stretches, hour * width // length, count, bad)
    while stretches and ((first := _COUNT.unpack_from(stretches))[0] + 1) * length <= oldest:
        stretches = stretches[_COUNT.size :]
        total, failed = total - first[1], failed - first[2]
    return Baseline(total, failed, recent, recent_failed, baseline.hour, hours, stretches)


def _with_hour(stretches: bytes, stretch: int, total: int, failed: int) -> bytes:
    """The window with the samples of an hour added to its stretch."""
    if stretches:
        last, earlier, earlier_failed = _COUNT.unpack(stretches[-_COUNT.size :])
        if last == stretch:
            stretches = stretches[: -_COUNT.size]
            total, failed = total + earlier, failed + earlier_failed
    return stretches + _packed(stretch, total, failed)


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


def rate(baseline: Baseline, policy: BaselinePolicy) -> tuple[int, int]:
    """The failure rate p0 as numerator and denominator, shrunk to the prior and not below
    FLOOR_PER_MILLE."""
    return _shrunk(baseline.total, baseline.failed, policy.prior_weight, policy)


def chronic(baseline: Baseline, policy: BaselinePolicy) -> bool:
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


def _shrunk(total: int, failed: int, weight: int, policy: BaselinePolicy) -> tuple[int, int]:
    below = 1000 * (total + weight)
    above = 1000 * failed + weight * policy.prior_failure_per_mille
    return max(above, below * FLOOR_PER_MILLE // 1000), below
