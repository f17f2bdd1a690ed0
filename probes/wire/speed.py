# SPDX-License-Identifier: Apache-2.0
"""How a Transfer is interpreted: its speed, whether it froze, and which of two is faster.

The probe plans its next transfer by these functions and the judge compares by them, so that both
mean the same. Integers only.
"""

from __future__ import annotations

from probes.wire.failure import Failure
from probes.wire.observation import Transfer

FROZEN_US = 3_000_000
"""A longer silence in mid-stream is no lost packet: TCP retransmits after 0.2, 0.6 and 1.4 s
(RFC 6298 with the minimum timeout of Linux)."""
BEGUN_BYTES = 4_096
"""Fewer bytes are no answer that began: session tickets of TLS 1.3 and settings of HTTP/2 arrive
before the first request is answered."""
LEAST_BYTES = 16_384
"""Fewer bytes say little about speed: a server sends its first ten segments at once (RFC 6928)."""
SLOW = 500_000
"""Bytes a second (4 Mbit/s) below which a transfer is slow. Throttling lies far below the capacity
of lines; a line that is slow itself shows by the transfer of an innocuous name."""
_TWICE = 2


def speed(seen: Transfer) -> int:
    """Return bytes a second: the probe's rate, else the mean over all of the time; 0 for none."""
    return seen.rate or overall(seen)


def overall(seen: Transfer) -> int:
    """Return bytes a second over all of the time, waits included."""
    return seen.received_bytes * 1_000_000 // seen.took_us if seen.took_us else 0


def frozen(seen: Transfer) -> bool:
    """Whether the transfer stopped in mid-stream: the first kilobytes of the answer arrived, then
    nothing for seconds, and less than was wanted."""
    return (
        BEGUN_BYTES <= seen.received_bytes < seen.wanted_bytes
        and seen.silence_us >= FROZEN_US
        and seen.failure == Failure.TIMEOUT
    )


def dead(seen: Transfer) -> bool:
    """Whether the connection died: it was reset or closed, or no answer came."""
    return seen.failure is not None and not frozen(seen)


def slow(seen: Transfer) -> bool:
    """Whether bytes arrived more slowly than SLOW, as a whole or at the middle byte, or stopped in
    mid-stream."""
    return not dead(seen) and (frozen(seen) or speed(seen) < SLOW or 0 < seen.pace < SLOW)


def complete(seen: Transfer) -> bool:
    """Whether the transfer ended without failure and brought enough bytes to measure a speed."""
    return seen.failure is None and seen.received_bytes >= LEAST_BYTES


def small_answers(seen: Transfer) -> bool:
    """Whether each answer fits into what a server sends at once. Such a transfer is a row of round
    trips and of waits for the server, which differ from one address to another."""
    return (
        seen.failure is None
        and seen.requests > 1
        and seen.received_bytes < LEAST_BYTES * seen.requests
    )


def times_faster(seen: Transfer, other: Transfer, times: int) -> bool:
    """Whether `seen` is complete and at least `times` as fast as `other`, or `other` froze or died.
    Compares the whole, or the middle byte where losses and distance slow both; of small answers
    the whole with all waits, because how many of these are the server's is not known. Without waits
    a burst shows any speed, so nothing is faster that is not at least twice so with them."""
    if not complete(seen):
        return False
    if frozen(other) or dead(other):
        return True
    if small_answers(seen) or small_answers(other):
        return overall(seen) >= times * max(1, overall(other))
    if overall(seen) < min(times, _TWICE) * overall(other):
        return False
    if speed(seen) >= times * max(1, speed(other)):
        return True
    return speed(seen) >= speed(other) and 0 < times * other.pace <= seen.pace
