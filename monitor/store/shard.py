# SPDX-License-Identifier: Apache-2.0
"""The part of the services that one detector works on, when several share the work."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Self

import msgspec

DETECTOR = "detector"
"""Name of the lease and of the cursor of a detector that works on all services."""


class Shard(msgspec.Struct, frozen=True):
    """Part `index` (from 1) of `count`. The parts of one count share no service."""

    index: int = 1
    count: int = 1

    @property
    def name(self) -> str:
        """Name of its lease and of its cursor."""
        return DETECTOR if self.count == 1 else f"{DETECTOR} {self.index}/{self.count}"

    @classmethod
    def named(cls, name: str) -> Self:
        """The part whose lease or cursor has this name."""
        index, _, count = name.removeprefix(DETECTOR).strip().partition("/")
        return cls(int(index), int(count)) if index else cls()

    @property
    def pattern(self) -> str:
        """What the names of all parts of this count match, for SQL's LIKE."""
        return DETECTOR if self.count == 1 else f"{DETECTOR} %/{self.count}"

    def is_beside(self, name: str) -> bool:
        """Whether a name is that of another part of the same count, or of nothing to do with
        detectors."""
        if not name.startswith(DETECTOR):
            return True
        return (
            self.count > 1 and name.startswith(f"{DETECTOR} ") and name.endswith(f"/{self.count}")
        )

    def has(self, service: str) -> bool:
        """Whether a service belongs to this part."""
        return zlib.crc32(service.encode()) % self.count == self.index - 1


ALL = Shard()
PATTERN = f"{DETECTOR}%"
"""What the names of all leases and cursors match, for SQL's LIKE."""


def shard(text: str) -> Shard:
    """Return the shard written as `I/N`. Raises ValueError with one line."""
    index, _, count = text.partition("/")
    if text.isascii() and index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count):
        return Shard(int(index), int(count))
    raise ValueError(f"must be I/N, such as 1/2, not {text!r}")


def folded(cursors: Mapping[str, int]) -> int:
    """The arrival number up to which all services have been folded, from the cursors by name.

    The cursors of all parts of one count say it, whichever count that is: where the number of
    detectors was changed, those of an earlier one are left.
    """
    values = [cursors.get(DETECTOR, 0)]
    counts: dict[int, list[int]] = {}
    for name, value in cursors.items():
        if name.startswith(f"{DETECTOR} "):
            counts.setdefault(shard(name.partition(" ")[2]).count, []).append(value)
    values += [min(some) for count, some in counts.items() if len(some) == count]
    return max(values)


def leases_by_part(leases: Mapping[str, int]) -> dict[Shard, int | None]:
    """When the lease of each part ends or ended, from those of all leases by name; None for a part
    that nobody ever worked on. The parts are those of the count whose lease lasts longest: the
    number of detectors may have been changed."""
    known = {Shard.named(name): expires for name, expires in leases.items()}
    if not known:
        return {}
    count = max(known, key=lambda part: known[part]).count
    parts = (Shard(index, count) for index in range(1, count + 1))
    return {part: known.get(part) for part in parts}
