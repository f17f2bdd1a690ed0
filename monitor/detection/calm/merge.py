# SPDX-License-Identifier: Apache-2.0
"""Several blocks of one target made one, without what has woken up since."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from monitor.detection.calm.block import Block, Column, narrow


def merged(blocks: Sequence[Block], *, ordered: bool = False) -> Block:
    """One block with every live network of these (one at least, all of one shape); `ordered`: by
    key."""
    parts = [_Part(block) for block in blocks]
    keys = [block.keys[n] for block, part in zip(blocks, parts, strict=True) for n in part.nets]
    bases = np.cumsum([0] + [len(part.nets) for part in parts])
    net = np.concatenate(
        [part.net + base for part, base in zip(parts, bases.tolist(), strict=False)]
    )
    nets = np.arange(len(keys))
    rows = np.arange(len(net))
    if ordered:
        nets = np.array(sorted(range(len(keys)), key=keys.__getitem__), np.int64)
        place = np.empty(len(nets), np.int64)
        place[nets] = np.arange(len(nets))
        rows = np.argsort(place[net], kind="stable")
        net = place[net][rows]
    layers = tuple(
        sorted({name for b, part in zip(blocks, parts, strict=True) for name in part.layers(b)})
    )
    countries = tuple(
        sorted(
            {
                b.countries[p]
                for b, part in zip(blocks, parts, strict=True)
                for p in np.unique(b.place[part.nets]).tolist()
            }
        )
    )
    each = list(zip(blocks, parts, strict=True))

    def of_nets(name: str) -> Column:
        return np.concatenate([getattr(b, name)[part.nets] for b, part in each])[nets]

    def of_rows(name: str) -> Column:
        return np.concatenate([getattr(b, name)[part.rows] for b, part in each])[rows]

    def spread(block: Block, column: Column, chosen: Column, empty: int = 0) -> Column:
        found = np.full((len(layers), len(chosen)), empty, column.dtype)
        for high, name in enumerate(block.layers):
            if name in layers:
                found[layers.index(name)] = column[high, chosen]
        return found

    def of_tracks(name: str, empty: int = 0) -> Column:
        columns = [spread(b, getattr(b, name), part.rows, empty) for b, part in each]
        return np.concatenate(columns, axis=1)[:, rows]

    def rings(name: str) -> list[Column]:
        length = len(getattr(blocks[0], name))
        return [
            narrow(
                np.concatenate([spread(b, getattr(b, name)[n], p.rows) for b, p in each], axis=1)
            )[:, rows]
            for n in range(length)
        ]

    named = [keys[n] for n in nets.tolist()]
    words_place = {country: n for n, country in enumerate(countries)}
    place = np.concatenate(
        [
            np.array([words_place.get(country, -1) for country in b.countries], np.int32)[
                b.place[part.nets]
            ]
            for b, part in each
        ]
    )[nets]
    probes = [b.probes[row] for b, part in each for row in part.rows.tolist()]
    owners = [b.owners[row] for b, part in each for row in part.rows.tolist()]
    probes = [probes[row] for row in rows.tolist()]
    return _with_suspicions(
        Block(
            target=blocks[0].target,
            layers=layers,
            shape=blocks[0].shape,
            keys=named,
            named={key: n for n, key in enumerate(named)},
            countries=countries,
            place=place,
            asn=of_nets("asn"),
            live=np.ones(len(keys), np.bool_),
            inhibited=of_nets("inhibited"),
            usual=of_nets("usual"),
            rank=np.concatenate([spread(b, b.rank, part.nets) for b, part in each], axis=1)[
                :, nets
            ],
            first=np.searchsorted(net, np.arange(len(keys) + 1)),
            spread=of_nets("spread"),
            probes=probes,
            owners=[owners[row] for row in rows.tolist()],
            index={probe: row for row, probe in enumerate(probes)},
            net=net.astype(np.int32),
            enrolled=of_rows("enrolled"),
            interval=of_rows("interval"),
            round=of_rows("round"),
            outcome=of_rows("outcome"),
            failed_at=of_rows("failed_at"),
            failed_depth=of_rows("failed_depth"),
            exists=of_tracks("exists"),
            good=of_tracks("good"),
            bad=of_tracks("bad"),
            last=of_tracks("last", -1),
            total=of_tracks("total"),
            failed=of_tracks("failed"),
            chronic=of_tracks("chronic"),
            hours_total=rings("hours_total"),
            hours_failed=rings("hours_failed"),
            old_total=rings("old_total"),
            old_failed=rings("old_failed"),
            at=np.zeros(0, np.int64),
            sums=blocks[0].sums[:, :0],
            onsets=blocks[0].onsets[:, :0],
            befores=blocks[0].befores[:, :0],
            misses=np.zeros(0, np.int64),
            records=np.zeros(0, np.object_),
        ),
        each,
        rows,
    )


class _Part:
    """What of a block is still alive."""

    def __init__(self, block: Block) -> None:
        self.nets = np.flatnonzero(block.live)
        alive = block.live[block.net]
        self.rows = np.flatnonzero(alive)
        place = np.cumsum(block.live) - 1
        self.net = place[block.net[self.rows]]

    def layers(self, block: Block) -> list[str]:
        """Layers of which there is a track."""
        seen = np.asarray(block.exists[:, self.rows].any(axis=1))
        return [name for n, name in enumerate(block.layers) if seen[n]]


def _with_suspicions(block: Block, each: Sequence[tuple[Block, _Part]], rows: Column) -> Block:
    """The merged block with the suspicions of its parts, their places reckoned anew."""
    wide, base = len(block.probes), 0
    back = np.empty(wide, np.int64)
    back[rows] = np.arange(wide)
    at, chosen = [], []
    for old, part in each:
        was = len(old.probes)
        moved = np.full(was, -1, np.int64)
        moved[part.rows] = back[base : base + len(part.rows)]
        base += len(part.rows)
        high = np.array(
            [block.layers.index(n) if n in block.layers else -1 for n in old.layers], np.int64
        )
        layer, row = old.at // max(1, was), old.at % max(1, was)
        keep = np.flatnonzero(moved[row] >= 0)
        at.append(high[layer[keep]] * wide + moved[row[keep]])
        chosen.append(keep)
    if not sum(len(keep) for keep in chosen):
        return block
    all_of = np.concatenate(at)
    order = np.argsort(all_of, kind="stable")
    pairs = list(zip((old for old, _ in each), chosen, strict=True))
    block.at = all_of[order]
    for name in ("sums", "onsets", "befores"):
        columns = [getattr(old, name)[:, keep] for old, keep in pairs]
        setattr(block, name, np.concatenate(columns, axis=1)[:, order])
    for name in ("misses", "records"):
        columns = [getattr(old, name)[keep] for old, keep in pairs]
        setattr(block, name, np.concatenate(columns)[order])
    return block
