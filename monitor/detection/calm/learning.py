# SPDX-License-Identifier: Apache-2.0
"""`monitor.detection.sequence.baseline` for all tracks of a block at once: the same counts."""

from __future__ import annotations

import numpy as np

from monitor.detection.calm.block import Block, Column, narrow, plus_one
from monitor.detection.policy import Policy
from monitor.detection.sequence.baseline import FLOOR_PER_MILLE

_FEW = 8
"""When more than one in so many tracks are to be looked at, all are sifted first."""


def learn(block: Block, round: int, sampled: Column, failed: Column, policy: Policy) -> None:
    """Count one sample of each track in `sampled` (L x V), a failure for those in `failed` too.
    Replaces the block's columns."""
    form = block.shape
    hour = round // form.width
    moving = sampled & (block.last != hour)
    if moving.any():
        _move(block, round, moving)
        block.last = np.where(moving, np.int32(hour), block.last)
    at = hour % form.hours
    block.hours_total[at] = plus_one(block.hours_total[at], sampled)
    some = failed.any()
    if some:
        block.hours_failed[at] = plus_one(block.hours_failed[at], failed)
    # Only these can have changed sides: a failure or a moved window for the worse, a success for
    # the better.
    doubtful = moving | (sampled & block.chronic)
    if some:
        doubtful |= failed
    refresh(block, np.flatnonzero(doubtful), policy)


def refresh(block: Block, where: Column, policy: Policy) -> None:
    """Say anew which of these tracks (flat positions) are chronic. Replaces the column."""
    if not where.size:
        return
    chronic = block.chronic.copy()
    chronic.reshape(-1)[where] = False
    if _FEW * where.size > chronic.size:
        where = where[_possible(block, policy).reshape(-1)[where]]
    chronic.reshape(-1)[where] = _chronic(block, where, policy)
    block.chronic = chronic


def _possible(block: Block, policy: Policy) -> Column:
    """L x V: what every chronic track is, and most others are not: it has failed so often for
    what ripened alone. Cheap, because nothing is gathered."""
    bad = block.failed.copy()
    for column in block.hours_failed:
        bad += column
    most, prior = policy.chronic_per_mille, policy.prior_failure_per_mille
    spare = min(weight * (most - prior) for weight in (policy.chronic_weight, policy.prior_weight))
    found: Column = 1000 * bad > most * block.total + spare
    return found if most > FLOOR_PER_MILLE else np.ones_like(found)


def _move(block: Block, round: int, moving: Column) -> None:
    """Let the window of these tracks move on: hours older than the lag into their stretches,
    stretches older than the window out."""
    form = block.shape
    lagged = round - form.lag
    oldest = lagged - form.window
    lasts = block.last[moving]
    least = int(lasts.min())
    for last in (np.flatnonzero(np.bincount(lasts - least)) + least).tolist():
        if last < 0:
            continue
        these = moving & (block.last == last)
        newest = last * form.width // form.coarse
        for number in range(newest - form.stretches + 1, newest + 1):
            if number * form.coarse + form.coarse <= oldest:
                _forget(block, number % form.stretches, these)
        for hour in range(last - form.hours + 1, last + 1):
            start = hour * form.width
            if start + form.width <= lagged:
                number = start // form.coarse
                _ripen(block, hour % form.hours, number, these, oldest)


def _forget(block: Block, at: int, these: Column) -> None:
    gone, failed = block.old_total[at] * these, block.old_failed[at] * these
    if gone.any():
        block.total, block.failed = block.total - gone, block.failed - failed
        block.old_total[at] = block.old_total[at] - gone
        block.old_failed[at] = block.old_failed[at] - failed


def _ripen(block: Block, hour: int, number: int, these: Column, oldest: int) -> None:
    form = block.shape
    total, failed = block.hours_total[hour] * these, block.hours_failed[hour] * these
    if not total.any():
        return
    block.hours_total[hour] = block.hours_total[hour] - total
    block.hours_failed[hour] = block.hours_failed[hour] - failed
    if number * form.coarse + form.coarse <= oldest:
        return
    at = number % form.stretches
    block.old_total[at] = narrow(np.add(block.old_total[at], total, dtype=np.uint16))
    block.old_failed[at] = narrow(np.add(block.old_failed[at], failed, dtype=np.uint16))
    block.total, block.failed = block.total + total, block.failed + failed


def shrunk(total: Column, failed: Column, weight: int, policy: Policy) -> tuple[Column, Column]:
    """Numerator and denominator of the failure rates of these counts (int64)."""
    below = 1000 * (total + weight)
    above = 1000 * failed + weight * policy.prior_failure_per_mille
    return np.maximum(above, below * FLOOR_PER_MILLE // 1000), below


def rates(block: Block, where: Column, policy: Policy) -> tuple[Column, Column]:
    """The p0 of these tracks (flat positions)."""
    total = block.total.reshape(-1)[where].astype(np.int64)
    failed = block.failed.reshape(-1)[where].astype(np.int64)
    return shrunk(total, failed, policy.prior_weight, policy)


def _chronic(block: Block, where: Column, policy: Policy) -> Column:
    total = block.total.reshape(-1)[where].astype(np.int64)
    failed = block.failed.reshape(-1)[where].astype(np.int64)
    above, below = shrunk(total, failed, policy.prior_weight, policy)
    all_of, bad = total.copy(), failed.copy()
    for column in block.hours_total:
        all_of += column.reshape(-1)[where]
    for column in block.hours_failed:
        bad += column.reshape(-1)[where]
    wide, deep = shrunk(all_of, bad, policy.chronic_weight, policy)
    most = policy.chronic_per_mille
    enough = bad * 1000 > most * policy.chronic_weight
    return enough & ((above * 1000 > most * below) | (wide * 1000 > most * deep))
