# SPDX-License-Identifier: Apache-2.0
"""Networks as objects into columns, without loss: what is calm, what fits, and how it is packed.

A network is calm while nothing about it is an event: no alarm, no quorum, no vantage whose
evidence has reached the threshold. What is calm but does not fit the columns is not packed and
stays with the objects of `monitor.detection.sequence.state`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from monitor.detection.calm import record
from monitor.detection.calm.block import CODE, DEPTH, Block, Column, Shape, narrow, shape
from monitor.detection.policy import Policy
from monitor.detection.sequence import gates
from monitor.detection.sequence.baseline import chronic
from monitor.detection.sequence.state import Baseline, Bucket, Network, Suspicion, Track

MOST_SAMPLES = 16_000
"""Rounds in a stretch of the baseline: 16 bits hold four times as many."""


def calm(network: Network, policy: Policy) -> bool:
    """Whether nothing of this network is an event, or about to be one."""
    if network.source != gates.PROBE or not network.members:
        return False
    for series in network.layers.values():
        if series.likely_since or series.rank > 2:
            return False
        for track in series.tracks.values():
            held = track.suspicion
            if held is not None and (held.alarmed or max(held.sums) >= policy.threshold_micronats):
                return False
    return True


def fits(network: Network, policy: Policy) -> bool:
    """Whether a calm network can be packed without loss."""
    form, bank = shape(policy), len(policy.p1_per_mille)
    return (
        network.layers.keys() <= DEPTH.keys()
        and all(
            member.outcome in CODE and member.interval * MOST_SAMPLES >= form.coarse
            for member in network.members.values()
        )
        and all(
            probe in network.members
            and _fits(track.baseline, form)
            and (track.suspicion is None or _plain(track.suspicion, bank))
            for series in network.layers.values()
            for probe, track in series.tracks.items()
        )
    )


def _plain(held: Suspicion, bank: int) -> bool:
    return len(held.sums) == bank and not (
        held.recovery or held.pending or held.good_since or held.good_rounds or held.good_last
    )


def _fits(baseline: Baseline, form: Shape) -> bool:
    fresh, old = baseline.fresh, baseline.old
    if not fresh:
        return not old and not baseline.total and not baseline.failed
    last = fresh[-1].start // form.width
    newest = fresh[-1].start // form.coarse
    return (
        _ring(fresh, form.width, last, form.hours)
        and _ring(old, form.coarse, newest, form.stretches)
        and baseline.total == sum(each.total for each in old)
        and baseline.failed == sum(each.failed for each in old)
    )


def _ring(buckets: Sequence[Bucket], width: int, newest: int, cells: int) -> bool:
    numbers = [each.start // width for each in buckets]
    return (
        all(each.start % width == 0 for each in buckets)
        and all(0 < each.total < 4 * MOST_SAMPLES for each in buckets)
        and all(0 <= each.failed <= each.total for each in buckets)
        and all(a < b for a, b in pairwise(numbers))
        and all(newest - cells < number <= newest for number in numbers)
    )


def packed(target: str, networks: Iterable[tuple[str, Network]], policy: Policy) -> Block:
    """Columns of networks (of one target) that are calm and fit."""
    chosen = list(networks)
    form, bank = shape(policy), len(policy.p1_per_mille)
    layers = tuple(sorted({layer for _, network in chosen for layer in network.layers}))
    members = [
        (n, probe, member)
        for n, (_, network) in enumerate(chosen)
        for probe, member in sorted(network.members.items())
    ]
    countries = tuple(sorted({network.country for _, network in chosen}))
    wide, high = len(members), len(layers)
    places = {country: n for n, country in enumerate(countries)}
    row = {(n, probe): r for r, (n, probe, _) in enumerate(members)}
    net = np.array([n for n, _, _ in members], np.int32)

    def cells(kind: type) -> Column:
        return np.zeros((high, wide), kind)

    block = Block(
        target=target,
        layers=layers,
        shape=form,
        keys=[key for key, _ in chosen],
        named={key: n for n, (key, _) in enumerate(chosen)},
        countries=countries,
        place=np.array([places[network.country] for _, network in chosen], np.int32),
        asn=np.array([network.asn for _, network in chosen], np.int64),
        live=np.ones(len(chosen), np.bool_),
        inhibited=np.array([network.inhibited_until for _, network in chosen], np.int64),
        usual=np.array([_usual(network) for _, network in chosen], np.int64),
        rank=np.zeros((high, len(chosen)), np.uint8),
        first=np.searchsorted(net, np.arange(len(chosen) + 1)),
        spread=np.array([_spread(network, policy) for _, network in chosen], np.bool_),
        probes=[probe for _, probe, _ in members],
        owners=[member.owner for _, _, member in members],
        index={probe: r for r, (_, probe, _) in enumerate(members)},
        net=net,
        enrolled=np.array([member.enrolled for _, _, member in members], np.int64),
        interval=np.array([member.interval for _, _, member in members], np.int64),
        round=np.array([member.round for _, _, member in members], np.int64),
        outcome=np.array([CODE[member.outcome] for _, _, member in members], np.uint8),
        failed_at=np.array([member.failed_at for _, _, member in members], np.int64),
        failed_depth=np.array([member.failed_depth for _, _, member in members], np.int8),
        exists=cells(np.bool_),
        good=cells(np.int64),
        bad=cells(np.int64),
        last=cells(np.int32) - 1,
        total=cells(np.int32),
        failed=cells(np.int32),
        chronic=cells(np.bool_),
        hours_total=[cells(np.uint16) for _ in range(form.hours)],
        hours_failed=[cells(np.uint16) for _ in range(form.hours)],
        old_total=[cells(np.uint16) for _ in range(form.stretches)],
        old_failed=[cells(np.uint16) for _ in range(form.stretches)],
        at=np.zeros(0, np.int64),
        sums=np.zeros((bank, 0), np.int64),
        onsets=np.zeros((bank, 0), np.int64),
        befores=np.zeros((bank, 0), np.int64),
        misses=np.zeros(0, np.int64),
        records=np.zeros(0, np.object_),
    )
    held: list[tuple[int, Suspicion]] = []
    for n, (_, network) in enumerate(chosen):
        for name, series in network.layers.items():
            level = layers.index(name)
            block.rank[level, n] = series.rank
            for probe, track in series.tracks.items():
                cell = level, row[n, probe]
                _put(block, cell, track, policy)
                if track.suspicion is not None:
                    held.append((cell[0] * wide + cell[1], track.suspicion))
    _hold(block, sorted(held, key=lambda each: each[0]))
    for ring in (block.hours_total, block.hours_failed, block.old_total, block.old_failed):
        ring[:] = [narrow(column) for column in ring]
    return block


def _usual(network: Network) -> int:
    intervals = sorted(member.interval for member in network.members.values())
    return intervals[(len(intervals) - 1) // 2]


def _spread(network: Network, policy: Policy) -> bool:
    owned = Counter(member.owner for member in network.members.values())
    return max(owned.values()) <= policy.owner_vantages


def _put(block: Block, cell: tuple[int, int], track: Track, policy: Policy) -> None:
    form, baseline = block.shape, track.baseline
    block.exists[cell] = True
    block.good[cell], block.bad[cell] = track.last_good, track.last_bad
    block.total[cell], block.failed[cell] = baseline.total, baseline.failed
    if baseline.fresh:
        block.last[cell] = baseline.fresh[-1].start // form.width
    for each in baseline.fresh:
        at = each.start // form.width % form.hours
        block.hours_total[at][cell], block.hours_failed[at][cell] = each.total, each.failed
    for each in baseline.old:
        at = each.start // form.coarse % form.stretches
        block.old_total[at][cell], block.old_failed[at][cell] = each.total, each.failed
    block.chronic[cell] = chronic(baseline, policy)


def _hold(block: Block, held: Sequence[tuple[int, Suspicion]]) -> None:
    if not held:
        return
    block.at = np.array([at for at, _ in held], np.int64)
    block.sums = np.array([each.sums for _, each in held], np.int64).T.copy()
    block.onsets = np.array([each.onsets for _, each in held], np.int64).T.copy()
    block.befores = np.array([each.befores for _, each in held], np.int64).T.copy()
    block.misses = np.array([each.misses for _, each in held], np.int64)
    block.records = np.empty(len(held), np.object_)
    block.records[:] = [record.kept(each) for _, each in held]
