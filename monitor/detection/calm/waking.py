# SPDX-License-Identifier: Apache-2.0
"""Networks out of columns, as the objects that they were. Many at once, because each call of
numpy costs as much as many cells.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.detection.calm import record
from monitor.detection.calm.block import OUTCOMES, Block, Column
from monitor.detection.policy import Policy
from monitor.detection.sequence import gates
from monitor.detection.sequence.state import (
    Baseline,
    Bucket,
    Member,
    Network,
    Series,
    Suspicion,
    Track,
)

_Cells = list[list[int]]


def unpacked(block: Block, n: int, policy: Policy) -> Network:
    """The n-th network as an object of its own."""
    return awake(block, np.array([n]), policy)[0]


def awake(block: Block, nets: Column, policy: Policy) -> list[Network]:
    """These networks (by number) as objects of their own, in their order."""
    starts, ends = block.first[nets].tolist(), block.first[nets + 1].tolist()
    bounds = list(zip(starts, ends, strict=True))
    rows = np.concatenate([np.arange(start, end) for start, end in bounds])
    members = _members(block, rows)
    tracks = _tracks(block, rows, _held(block, bounds, policy))
    found, base = [], 0
    for n, (start, end) in zip(nets.tolist(), bounds, strict=True):
        probes = block.probes[start:end]
        mine = slice(base, base + end - start)
        base += end - start
        layers = {
            name: Series(known, 0, int(block.rank[high, n]))
            for high, name in enumerate(block.layers)
            if (known := {p: t for p, t in zip(probes, tracks[high][mine], strict=True) if t})
        }
        country = block.countries[int(block.place[n])]
        found.append(
            Network(
                block.target,
                country,
                int(block.asn[n]),
                gates.PROBE,
                dict(zip(probes, members[mine], strict=True)),
                layers,
                int(block.inhibited[n]),
            )
        )
    return found


def _members(block: Block, rows: Column) -> list[Member]:
    columns = zip(
        (block.owners[row] for row in rows.tolist()),
        block.enrolled[rows].tolist(),
        block.interval[rows].tolist(),
        block.round[rows].tolist(),
        block.outcome[rows].tolist(),
        block.failed_at[rows].tolist(),
        block.failed_depth[rows].tolist(),
        strict=True,
    )
    return [
        Member(owner, enrolled, interval, round, OUTCOMES[code], failed_at, depth)
        for owner, enrolled, interval, round, code, failed_at, depth in columns
    ]


def _tracks(
    block: Block, rows: Column, held: dict[tuple[int, int], Suspicion]
) -> list[list[Track | None]]:
    """By layer, the tracks of these rows; None where a vantage has none."""

    def cells(column: Column) -> _Cells:
        found: _Cells = column[:, rows].tolist()
        return found

    def rings(columns: Sequence[Column]) -> list[_Cells]:
        every = np.array([column[:, rows] for column in columns])
        found: list[_Cells] = every.transpose(1, 2, 0).tolist()
        return found

    numbers = rows.tolist()
    exists, last = cells(block.exists), cells(block.last)
    good, bad = cells(block.good), cells(block.bad)
    total, failed = cells(block.total), cells(block.failed)
    hours, hours_failed = rings(block.hours_total), rings(block.hours_failed)
    old, old_failed = rings(block.old_total), rings(block.old_failed)
    form = block.shape

    def baseline(high: int, n: int) -> Baseline:
        hour = last[high][n]
        if hour < 0:
            return Baseline([], [])
        newest = hour * form.width // form.coarse
        return Baseline(
            _buckets(hours[high][n], hours_failed[high][n], hour, form.width),
            _buckets(old[high][n], old_failed[high][n], newest, form.coarse),
            total[high][n],
            failed[high][n],
        )

    return [
        [
            Track(baseline(high, n), good[high][n], bad[high][n], held.get((high, row)))
            if exists[high][n]
            else None
            for n, row in enumerate(numbers)
        ]
        for high in range(len(block.layers))
    ]


def _held(
    block: Block, bounds: Sequence[tuple[int, int]], policy: Policy
) -> dict[tuple[int, int], Suspicion]:
    """The suspicions of the rows between these bounds, by layer and row."""
    wide, high = len(block.probes), len(block.layers)
    limits = np.array(bounds)[None, :, :] + wide * np.arange(high)[:, None, None]
    places = np.searchsorted(block.at, limits)
    chosen = [n for first, last in places.reshape(-1, 2).tolist() for n in range(first, last)]
    if not chosen:
        return {}
    sums, onsets = block.sums[:, chosen].T.tolist(), block.onsets[:, chosen].T.tolist()
    befores, misses = block.befores[:, chosen].T.tolist(), block.misses[chosen].tolist()
    found = {}
    for n, at in enumerate(block.at[chosen].tolist()):
        held = record.told(block.records[chosen[n]], policy)
        held.sums, held.onsets, held.befores = sums[n], onsets[n], befores[n]
        held.misses = misses[n]
        found[at // wide, at % wide] = held
    return found


def _buckets(totals: list[int], failed: list[int], newest: int, width: int) -> list[Bucket]:
    """The filled cells of a ring, oldest first."""
    first = newest + 1 - len(totals)
    cut = first % len(totals)
    cells = zip(totals[cut:] + totals[:cut], failed[cut:] + failed[:cut], strict=True)
    return [
        Bucket(number * width, total, bad)
        for number, (total, bad) in enumerate(cells, first)
        if total
    ]
