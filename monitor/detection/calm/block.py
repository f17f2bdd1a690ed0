# SPDX-License-Identifier: Apache-2.0
"""Many calm networks of one target as columns of integers: one row a vantage, one cell a track.

Columns are replaced and never changed in place, so an older state stays as it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monitor.detection.model import Layer
from monitor.detection.policy import Policy
from monitor.detection.sequence import gates
from monitor.detection.sequence.baseline import STRETCHES

Column = npt.NDArray[Any]
_BYTE = 255
OUTCOMES = (
    gates.SILENT,
    gates.GOOD,
    gates.BAD,
    gates.UNSUPPORTED,
    gates.DOWN,
    gates.OFFLINE,
    gates.UNSEEN,
    gates.UNKNOWN,
)
"""A member's outcome by its code."""
SILENT, GOOD, BAD, UNSUPPORTED, DOWN, OFFLINE, UNSEEN, UNKNOWN = range(8)
CODE = {word: code for code, word in enumerate(OUTCOMES)}
DEPTH = {layer.value: depth for depth, layer in enumerate(Layer)}


@dataclass(frozen=True)
class Shape:
    """The baseline's lengths under a policy, milliseconds, and how many cells they need."""

    width: int
    coarse: int
    lag: int
    window: int

    @property
    def hours(self) -> int:
        """Cells for what is younger than the lag."""
        return self.lag // self.width + 3

    @property
    def stretches(self) -> int:
        """Cells for the window."""
        return (self.window + self.lag) // self.coarse + 4


def shape(policy: Policy) -> Shape:
    """The shape of every baseline under a policy."""
    width = max(1, policy.ms(policy.baseline_bucket_seconds))
    window = policy.ms(policy.baseline_seconds)
    return Shape(
        width, max(width, window // STRETCHES), policy.ms(policy.baseline_lag_seconds), window
    )


@dataclass(slots=True, kw_only=True, eq=False)
class Block:
    """Columns. Letters in shapes: N networks, V vantages (rows, those of a network together),
    L layers, S suspicions, B members of the bank."""

    target: str
    layers: tuple[str, ...]
    shape: Shape
    # networks
    keys: list[str]
    named: dict[str, int]
    """Number by key."""
    countries: tuple[str, ...]
    place: Column
    """N: index into `countries`."""
    asn: Column
    live: Column
    """N: false once the network woke up; its rows are dead then."""
    inhibited: Column
    usual: Column
    """N: the middle interval of its vantages."""
    rank: Column
    """L x N."""
    first: Column
    """N + 1: its first row; that of the next is behind its last."""
    spread: Column
    """N: no owner has more vantages here than count."""
    # vantages
    probes: list[str]
    owners: list[str]
    index: dict[str, int]
    """Row by probe."""
    net: Column
    enrolled: Column
    interval: Column
    round: Column
    outcome: Column
    failed_at: Column
    failed_depth: Column
    # tracks, L x V
    exists: Column
    good: Column
    bad: Column
    last: Column
    """Number of the newest hour that was learnt from; -1 when none was."""
    total: Column
    failed: Column
    chronic: Column
    """Kept beside the counts that it follows from."""
    hours_total: list[Column]
    """The hour of number h is at h modulo the length. Bytes where bytes are enough, here and in
    the three below."""
    hours_failed: list[Column]
    old_total: list[Column]
    old_failed: list[Column]
    # suspicions, in the order of `at`
    at: Column
    """S: layer * V + row."""
    sums: Column
    """B x S."""
    onsets: Column
    befores: Column
    misses: Column
    records: Column
    """S: objects of `record`."""


def narrow(counts: Column) -> Column:
    """The same counts as bytes if they are small enough, else in 16 bits."""
    small = not counts.size or counts.max() <= _BYTE
    return counts.astype(np.uint8 if small else np.uint16, copy=False)


def plus_one(counts: Column, where: Column) -> Column:
    """Counts of `narrow` with one more at each place in a column of booleans."""
    if counts.dtype == np.uint8 and counts.size and counts.max() == _BYTE:
        counts = counts.astype(np.uint16)
    more: Column = counts + where
    return more
