# SPDX-License-Identifier: Apache-2.0
"""Whether a detector is at work, as far as the leases in the store tell. Pure.

A detector that is late to renew its lease, one that has ended and one that never ran are different
troubles: each has its own first action. With several detectors (`--shard`) the part that is worst
off is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from monitor.store.shard import Shard, leases_by_part

LEASE_LATE_MS = 60_000
"""A detector without its lease for longer than this is taken to have ended: a busy one renews it
every few seconds, and a standby takes it over in less."""


class DetectorCourse(StrEnum):
    """What the lease of a detector tells."""

    RUNS = "runs"
    LATE = "late"
    ENDED = "ended"
    NEVER = "never"


class DetectorHealth(msgspec.Struct, frozen=True):
    """The detector of the part of the services that is worst off."""

    course: DetectorCourse
    without_ms: int | None
    """For how long nobody has held the lease; 0 while it is held, None where nobody ever did."""
    part: Shard

    @property
    def option(self) -> str:
        """What a command needs that starts this detector: ` --shard 2/3`, or nothing."""
        return "" if self.part.count == 1 else f" --shard {self.part.index}/{self.part.count}"


def detector_health(leases: Mapping[str, int], now: int) -> DetectorHealth:
    """From when each lease ends (`monitor.store.reading.progress.detector_leases`), Unix ms."""
    parts = leases_by_part(leases) or {Shard(): None}
    part = min(parts, key=lambda part: parts[part] or 0)
    expires = parts[part]
    if expires is None:
        return DetectorHealth(DetectorCourse.NEVER, None, part)
    without = max(0, now - expires)
    if expires > now:
        return DetectorHealth(DetectorCourse.RUNS, 0, part)
    return DetectorHealth(
        DetectorCourse.ENDED if without > LEASE_LATE_MS else DetectorCourse.LATE, without, part
    )
