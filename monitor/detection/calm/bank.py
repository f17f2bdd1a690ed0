# SPDX-License-Identifier: Apache-2.0
"""`monitor.detection.sequence.cusum` for all suspicions of a block at once: the same sums.

Logarithms are taken by numpy and rounded to micro-nats; one that lies so near to a half that the
last bits could decide is taken again as the objects take it, so that both always agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from monitor.detection.calm import learning, record
from monitor.detection.calm.block import Block, Column
from monitor.detection.policy import Policy
from monitor.detection.sequence import cusum

_NEAR = 1e-4
"""Far more than the last bits of a logarithm in micro-nats."""


@dataclass(kw_only=True)
class Failures:
    """Failures of a round that count, one a track, as columns; the lists go beside them."""

    at: Column
    """Flat positions of their tracks, ascending."""
    weight: Column
    started: Sequence[int]
    id: Sequence[str]
    rule: Sequence[str]
    technique: Sequence[str]
    part: Sequence[bool]


def logs(above: Column, below: Column) -> Column:
    """log(above/below) in micro-nats, as `sequential` rounds it."""
    exact = cusum.MICRO * np.log(above / below)
    rounded = np.rint(exact)
    near = np.abs(np.abs(exact - rounded) - 0.5) < _NEAR
    found: Column = rounded.astype(np.int64)
    for n in np.flatnonzero(near).tolist():
        found[n] = cusum.log(int(above[n]), int(below[n]))
    return found


def losses(above: Column, below: Column, policy: Policy) -> Column:
    """What a success takes from each member (B x n), for baselines above/below."""
    return np.stack([_loss(above, below, p1, policy) for p1 in policy.p1_per_mille])


def _loss(above: Column, below: Column, p1: int, policy: Policy) -> Column:
    apart = p1 * below >= policy.apart_per_mille * above
    found = np.zeros(len(above), np.int64)
    up, down = above[apart], below[apart]
    found[apart] = logs((1000 - p1) * down, 1000 * (down - up))
    return found


def _gain(above: Column, below: Column, p1: int, policy: Policy) -> Column:
    apart = p1 * below >= policy.apart_per_mille * above
    found = np.zeros(len(above), np.int64)
    up, down = above[apart], below[apart]
    found[apart] = logs(p1 * down, 1000 * up)
    return found


def succeed(block: Block, good: Column, dropped: Column, policy: Policy) -> None:
    """Let each suspicion of a track in `good` (L x V) lose what a success takes, and drop those
    that have nothing left or whose track is in `dropped`. Replaces the block's columns."""
    if not block.at.size:
        return
    well = good.reshape(-1)[block.at]
    where = block.at[well]
    had = block.sums[:, well]
    losing = losses(*learning.rates(block, where, policy), policy)
    left = np.where(had > 0, np.maximum(0, had + losing), 0)
    block.sums = block.sums.copy()
    block.sums[:, well] = left
    block.onsets = block.onsets.copy()
    block.onsets[:, well] = np.where(left > 0, block.onsets[:, well], 0)
    block.misses = block.misses + well
    stays = ~dropped.reshape(-1)[block.at]
    stays[well] &= left.any(axis=0)
    if not stays.all():
        _keep(block, stays)


def drop(block: Block, where: Column) -> None:
    """Drop the suspicions of these tracks (flat positions, ascending)."""
    if block.at.size and where.size:
        found = np.isin(block.at, where, assume_unique=True)
        if found.any():
            _keep(block, ~found)


def fail(block: Block, round: int, failures: Failures, policy: Policy) -> Column:
    """Add the failures (of voting vantages) to the sums. Replaces the block's columns; returns
    the largest sum of each failing track, 0 where nothing is held against it."""
    where = failures.at
    if not where.size:
        return np.zeros(0, np.int64)
    above, below = learning.rates(block, where, policy)
    bank = policy.p1_per_mille
    typed = np.maximum(0, failures.weight - policy.bare_micronats)
    strong = failures.weight >= policy.strong_micronats
    clip = np.where(strong, policy.typed_clip_micronats, policy.sample_clip_micronats)
    strong = failures.weight >= policy.strong_micronats
    clip = np.where(strong, policy.typed_clip_micronats, policy.sample_clip_micronats)
    found = np.searchsorted(block.at, where)
    inside = found < len(block.at)
    known = np.zeros(len(where), np.bool_)
    known[inside] = block.at[found[inside]] == where[inside]
    place = found[known]
    sums, onsets, befores = (np.zeros((len(bank), len(where)), np.int64) for _ in range(3))
    misses = np.zeros(len(where), np.int64)
    records = np.full(len(where), None, np.object_)
    sums[:, known], onsets[:, known] = block.sums[:, place], block.onsets[:, place]
    befores[:, known], misses[known] = block.befores[:, place], block.misses[place]
    records[known] = block.records[place]
    # What a stray failure left behind is no part of what begins now.
    stray = 4 * sums.max(axis=0) < policy.threshold_micronats
    misses[stray], records[stray] = 0, None
    good = block.good.reshape(-1)[where]
    for member, p1 in enumerate(bank):
        gain = _gain(above, below, p1, policy)
        counts = gain != 0
        begins = counts & (sums[member] == 0)
        onsets[member, begins] = round
        befores[member] = np.where(begins, good, befores[member])
        gain = np.minimum(clip, gain + typed)
        risen = np.minimum(2 * policy.clip_micronats, sums[member] + gain)
        sums[member] = np.where(counts, risen, sums[member])
    most: Column = sums.max(axis=0)
    nats = _gain(above, below, max(bank), policy) + typed
    links = zip(
        records.tolist(),
        [round] * len(where),
        failures.started,
        failures.id,
        failures.rule,
        failures.weight.tolist(),
        failures.technique,
        failures.part,
        nats.tolist(),
        strict=True,
    )
    records = _cells(record.shortened(list(links), policy))
    if known.any():
        stays = np.ones(len(block.at), np.bool_)
        stays[place] = False
        _keep(block, stays)
    held = most > 0
    _insert(
        block,
        where[held],
        sums[:, held],
        onsets[:, held],
        befores[:, held],
        misses[held],
        records[held],
    )
    return most


def _cells(records: Sequence[record.Record]) -> Column:
    """The records as cells of one column; numpy would take tuples apart."""
    cells = np.empty(len(records), np.object_)
    for n, each in enumerate(records):
        cells[n] = each
    return cells


def _keep(block: Block, stays: Column) -> None:
    block.at = block.at[stays]
    block.sums = block.sums[:, stays]
    block.onsets, block.befores = block.onsets[:, stays], block.befores[:, stays]
    block.misses, block.records = block.misses[stays], block.records[stays]


def _insert(
    block: Block,
    at: Column,
    sums: Column,
    onsets: Column,
    befores: Column,
    misses: Column,
    records: Column,
) -> None:
    all_of = np.concatenate([block.at, at])
    order = np.argsort(all_of, kind="stable")
    block.at = all_of[order]
    block.sums = np.concatenate([block.sums, sums], axis=1)[:, order]
    block.onsets = np.concatenate([block.onsets, onsets], axis=1)[:, order]
    block.befores = np.concatenate([block.befores, befores], axis=1)[:, order]
    block.misses = np.concatenate([block.misses, misses])[order]
    block.records = np.concatenate([block.records, records])[order]
