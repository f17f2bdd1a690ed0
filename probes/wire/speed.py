# SPDX-License-Identifier: Apache-2.0
"""How a Transfer is read: its speed, whether it froze, and which of two is so many times faster.

The probe asks these to plan its next turn, the judge to compare; both must mean the same. Integers
only.
"""

from __future__ import annotations

from probes.wire.observation import Transfer

FROZEN_US = 3_000_000
"""So long a silence in mid-stream is no lost packet: TCP sends one again within 0.2, 0.6 and
1.4 s (RFC 6298 with Linux's least time-out)."""
LEAST_BYTES = 16_384
"""Fewer bytes say little of a speed: a server sends its first ten segments at once (RFC 6928)."""
SLOW = 500_000
"""Bytes a second (4 Mbit/s) below which a transfer is slow: throttling cripples, so it lies far
below what lines carry. A slow line of its own is told apart by what an innocuous name gets."""


def speed(seen: Transfer) -> int:
    """Bytes a second: as the probe made it out, else over the whole time; 0 when none came."""
    if seen.rate or not seen.took_us:
        return seen.rate
    return seen.received_bytes * 1_000_000 // seen.took_us


def frozen(seen: Transfer) -> bool:
    """It stopped dead in mid-stream: bytes came, then none for seconds, and it never went on to
    what was wanted."""
    return (
        seen.received_bytes > 0
        and seen.received_bytes < seen.wanted_bytes
        and seen.silence_us >= FROZEN_US
        and seen.failure is not None
    )


def slow(seen: Transfer) -> bool:
    """It died, or bytes flowed slower than SLOW, all in all or the middle one of them."""
    return seen.failure is not None or speed(seen) < SLOW or 0 < seen.pace < SLOW


def whole(seen: Transfer) -> bool:
    """It ended well, and brought enough bytes to tell a speed from."""
    return seen.failure is None and seen.received_bytes >= LEAST_BYTES


def times_faster(seen: Transfer, other: Transfer, times: int) -> bool:
    """`seen` ended well and was at least `times` as fast as `other`, or `other` froze. Faster is
    the whole of it, or the middle byte, where losses and distance slow the whole of both."""
    if not whole(seen):
        return False
    if frozen(other) or speed(seen) >= times * max(1, speed(other)):
        return True
    return speed(seen) >= speed(other) and 0 < times * other.pace <= seen.pace
