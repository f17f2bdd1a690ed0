# SPDX-License-Identifier: Apache-2.0
"""Which way to the monitor is tried, when the next one is, and when a better one is again. Pure.

The ways are in the order of their cost. What is known of each in one network:

| state | how it comes | when it is tried |
|---|---|---|
| untried | first | at once |
| open | it worked | at once, and when it was lost, after a moment |
| failing | it failed, or was lost and failed again | after a pause |

A worse way than an open one is not tried. The pause is short as long as no way is open, so that the
first that opens is found within a minute. Where a worse way is open it grows from minutes to a day:
a broker that was started again is used again soon, and a blocked one costs a connection a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from probes.delivery.way_failure import FLOODED, NOT_STORED

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
FIRST_AGAIN_MS = 10 * MINUTE_MS
"""Pause of a better way after its first failure; each further one doubles it, to a day."""
HURRY_MS = 2 * HOUR_MS
"""For so long after a way began to fail its pause stays below `Pauses.early_ms`."""
CHEAP_BYTES = 1500
"""An attempt that cost less is made so often for as long as it takes: a SYN without an answer costs
500 bytes, 25 MB a month, and a handshake that fails ten times as much."""
_LASTING = (NOT_STORED, FLOODED)
"""Failures of a way that is open: trying again soon only costs traffic."""


class WayState(StrEnum):
    """What is known of a way."""

    UNTRIED = "untried"
    OPEN = "open"
    FAILING = "failing"


class Pauses(msgspec.Struct, frozen=True, kw_only=True):
    """Of the ways as long as none is open, in milliseconds."""

    first_ms: float
    """After the first failure; each further one doubles it."""
    early_ms: float
    most_ms: float


class WayRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What happened on one way, in Unix milliseconds; 0 for never."""

    worked_ms: int = 0
    """When it last worked."""
    failures: int = 0
    """In a row, since it worked."""
    since_ms: int = 0
    """The first of them."""
    failed_ms: int = 0
    """The last of them."""
    failure: str = ""
    """Why."""
    again_ms: int = 0
    """Not to be tried before this time, if no way is open."""

    @property
    def state(self) -> WayState:
        """What is known of the way."""
        if self.failures:
            return WayState.FAILING
        return WayState.OPEN if self.worked_ms else WayState.UNTRIED


def choose(records: Sequence[WayRecord], now_ms: int) -> int | None:
    """Return the number of the way to try, of several with the best first; None to wait, until
    `wait_until_ms`."""
    tried = _tried(records, now_ms)
    due = [number for number, at in enumerate(tried) if at <= now_ms]
    if any(record.state is WayState.OPEN for record in records):
        return next(iter(due), None)  # a better way if it is its time, else the open one
    # Each in turn, whatever their attempts take.
    return min(due, key=lambda number: records[number].failures, default=None)


def wait_until_ms(records: Sequence[WayRecord], now_ms: int) -> int:
    """Return when there is a way to try again."""
    return min(_tried(records, now_ms))


def leave_ms(records: Sequence[WayRecord], used: int, now_ms: int) -> int | None:
    """Return when the way in use is to be left to try a better one; None for never."""
    return min((_due_ms(record, True, now_ms) for record in records[:used]), default=None)


def _tried(records: Sequence[WayRecord], now_ms: int) -> list[int]:
    """When each way may be tried, up to the best that is open: those behind it are not needed."""
    best = next((n for n, record in enumerate(records) if record.state is WayState.OPEN), None)
    if best is None:
        return [_due_ms(record, False, now_ms) for record in records]
    return [_due_ms(record, n < best, now_ms) for n, record in enumerate(records[: best + 1])]


def _due_ms(record: WayRecord, worse_is_open: bool, now_ms: int) -> int:
    if record.state is WayState.FAILING and worse_is_open:
        at = record.failed_ms + min(FIRST_AGAIN_MS << min(record.failures - 1, 20), DAY_MS)
    else:
        at = record.again_ms
    # A time further off than any pause was written by a clock that was wrong.
    return at if at <= now_ms + DAY_MS else now_ms


def worked(now_ms: int) -> WayRecord:
    """The record of a way that works at this moment."""
    return WayRecord(worked_ms=now_ms)


def lost(now_ms: int, pauses: Pauses, jitter: float) -> WayRecord:
    """The record of a way that worked until its connection ended: it is tried again first."""
    return WayRecord(worked_ms=now_ms, again_ms=now_ms + round(pauses.first_ms * jitter))


def failed(
    record: WayRecord, now_ms: int, failure: str, spent: int, pauses: Pauses, jitter: float
) -> WayRecord:
    """The record of a way that did not work, for which so many bytes were spent. `jitter` is a
    random number from 0 to 1: a thousand probes must not return at once."""
    since = record.since_ms or now_ms
    hurry = spent < CHEAP_BYTES or now_ms - since < HURRY_MS
    soon = hurry and failure not in _LASTING
    most = min(pauses.early_ms, pauses.most_ms) if soon else pauses.most_ms
    pause = min(pauses.first_ms * 2.0 ** min(record.failures, 30), most)
    return WayRecord(
        worked_ms=record.worked_ms,
        failures=record.failures + 1,
        since_ms=since,
        failed_ms=now_ms,
        failure=failure,
        again_ms=now_ms + round(pause * jitter),
    )
