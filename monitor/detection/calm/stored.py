# SPDX-License-Identifier: Apache-2.0
"""Calm networks as canonical bytes: blocks in the order of their keys, columns as they are.

What the columns say twice (indexes, who is chronic) is not written but made again. Compression is
left to whoever writes the whole state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from monitor.detection.calm import learning, record
from monitor.detection.calm.block import Block, Column, narrow, shape
from monitor.detection.calm.merge import merged
from monitor.detection.policy import Policy
from monitor.detection.sequence.state import Suspicion

_COLUMNS = {
    "place": "<i4",
    "asn": "<i8",
    "inhibited": "<i8",
    "usual": "<i8",
    "net": "<i4",
    "enrolled": "<i8",
    "interval": "<i8",
    "round": "<i8",
    "outcome": "<u1",
    "failed_at": "<i8",
    "failed_depth": "<i1",
    "at": "<i8",
    "misses": "<i8",
    "spread": "<u1",
    "rank": "<u1",
}
_TRACKS = {
    "exists": "<u1",
    "good": "<i8",
    "bad": "<i8",
    "last": "<i4",
    "total": "<i4",
    "failed": "<i4",
}
_RINGS = ("hours_total", "hours_failed", "old_total", "old_failed")
_BANKS = ("sums", "onsets", "befores")
_RING = "<u2"


class _Stored(msgspec.Struct, array_like=True):
    """One target's networks."""

    target: str
    layers: list[str]
    countries: list[str]
    keys: list[str]
    probes: list[str]
    owners: list[str]
    columns: dict[str, bytes]
    rings: dict[str, list[bytes]]
    records: list[Suspicion]


class _All(msgspec.Struct, array_like=True):
    policy: Policy
    targets: list[_Stored]


_encoder = msgspec.msgpack.Encoder(order="deterministic")
_decoder = msgspec.msgpack.Decoder(_All)


def encode(policy: Policy, blocks: Mapping[str, tuple[Block, ...]]) -> bytes:
    """The bytes of all blocks, by target: the same for the same networks, however they are
    divided."""
    alive = {
        target: [block for block in parts if block.live.any()] for target, parts in blocks.items()
    }
    targets = [
        _stored(merged(parts, ordered=True), policy) for _, parts in sorted(alive.items()) if parts
    ]
    return _encoder.encode(_All(policy, targets))


def _stored(block: Block, policy: Policy) -> _Stored:
    columns = {
        name: getattr(block, name).astype(kind).tobytes()
        for name, kind in (_COLUMNS | _TRACKS | dict.fromkeys(_BANKS, "<i8")).items()
    }
    return _Stored(
        target=block.target,
        layers=list(block.layers),
        countries=list(block.countries),
        keys=block.keys,
        probes=block.probes,
        owners=block.owners,
        columns=columns,
        rings={
            name: [column.astype(_RING).tobytes() for column in getattr(block, name)]
            for name in _RINGS
        },
        records=[record.told(each, policy) for each in block.records.tolist()],
    )


def decode(raw: bytes) -> tuple[Policy, dict[str, tuple[Block, ...]]]:
    """The policy and blocks of `encode`. Raises msgspec.DecodeError, and ValueError for columns
    that do not belong together."""
    read = _decoder.decode(raw)
    return read.policy, {each.target: (_block(each, read.policy),) for each in read.targets}


def _block(read: _Stored, policy: Policy) -> Block:
    high, wide, bank = len(read.layers), len(read.probes), len(policy.p1_per_mille)

    def column(name: str, kind: str) -> Any:
        return np.frombuffer(read.columns[name], kind).astype(np.dtype(kind).newbyteorder("="))

    def ring(name: str) -> list[Column]:
        return [
            narrow(np.frombuffer(raw, _RING).astype(np.uint16).reshape(high, wide))
            for raw in read.rings[name]
        ]

    net = column("net", _COLUMNS["net"])
    records = np.empty(len(read.records), np.object_)
    for n, each in enumerate(read.records):
        records[n] = record.kept(each)
    block = Block(
        target=read.target,
        layers=tuple(read.layers),
        shape=shape(policy),
        keys=read.keys,
        named={key: n for n, key in enumerate(read.keys)},
        countries=tuple(read.countries),
        live=np.ones(len(read.keys), np.bool_),
        first=np.searchsorted(net, np.arange(len(read.keys) + 1)),
        probes=read.probes,
        owners=read.owners,
        index={probe: row for row, probe in enumerate(read.probes)},
        chronic=np.zeros((high, wide), np.bool_),
        records=records,
        **{name: column(name, kind) for name, kind in _COLUMNS.items() if name != "rank"},
        rank=column("rank", _COLUMNS["rank"]).reshape(high, len(read.keys)),
        **{name: column(name, kind).reshape(high, wide) for name, kind in _TRACKS.items()},
        **{name: column(name, "<i8").reshape(bank, len(records)) for name in _BANKS},
        hours_total=ring("hours_total"),
        hours_failed=ring("hours_failed"),
        old_total=ring("old_total"),
        old_failed=ring("old_failed"),
    )
    block.exists = block.exists.astype(np.bool_)
    block.spread = block.spread.astype(np.bool_)
    learning.refresh(block, np.flatnonzero(block.exists), policy)
    return block
