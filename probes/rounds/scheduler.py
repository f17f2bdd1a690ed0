# SPDX-License-Identifier: Apache-2.0
"""When the next round is due. Pure: time and chance are arguments.

Each probe has its own place in the interval, its phase, so that the vantages of a network take
turns and a block is noticed soon after it begins. Rounds are named after whole minutes, so that
probes in the same minute share one. Each probe adds a random delay, so that those with the same
place do not connect to a service in the same second. A traffic budget lengthens the interval, and
where few vantages take turns each measures more often.
"""

from __future__ import annotations

import math
import random
import zlib

import msgspec

from probes.wire.measurement import round_grid_ms

DAY_MS = 86_400_000
MONTH_MS = 30 * DAY_MS
ENOUGH_VANTAGES = 5
"""So many take turns in the usual interval; fewer shorten it, so that they measure as often."""
SHORTEST_MS = 300_000
SPREAD = 0.25
"""Part of the interval over which the starts of probes with the same place are spread."""
SPREAD_MOST_MS = 15_000
"""More would only let a block wait: places spread the probes already."""
LATEST = 0.5
"""A round that could not begin in this part of its interval is skipped."""
LIMIT, LIMIT_LEAST, LIMIT_MOST = 0.8, 10.0, 600.0
"""Part of the interval in which endpoints may begin, and its bounds in seconds."""


class NextRound(msgspec.Struct, frozen=True):
    """One round to come; times are Unix milliseconds."""

    round_ms: int
    start_ms: int
    interval_ms: int


def interval_of(seconds: float) -> int:
    """Return this interval in milliseconds, as whole tenths of a second: the collector accepts
    rounds on no finer grid."""
    return max(1, round(seconds * 10)) * 100


def phase_ms(probe: str, interval_ms: int, place: int | None = None) -> int:
    """Return a probe's place in the interval. `place` is the one that the monitor gave, in
    thousandths of the interval; without it chance decides. Where all share each round, it is 0."""
    if round_grid_ms(interval_ms) == interval_ms:
        return 0
    if place is not None:
        return interval_ms * place // 1000
    return zlib.crc32(probe.encode()) % interval_ms


def next_round(
    now_ms: int,
    interval_ms: int,
    last_round_ms: int | None,
    rng: random.Random,
    phase: int = 0,
) -> NextRound:
    """Return the next round to measure, never the same round twice.

    Rounds are named after multiples of the interval, plus the part of `phase` that is a multiple
    of the grid of rounds; the probe starts at its exact phase. `last_round_ms` is the last round
    begun, None before the first, which starts at once. After a round that took longer than its
    interval the next one starts late or is skipped. A clock that went back by more than an interval
    starts again from the present time.
    """
    within = phase % round_grid_ms(interval_ms)
    phase -= within
    slot = _slot(now_ms, interval_ms, phase)
    if last_round_ms is None:
        return NextRound(slot, now_ms, interval_ms)
    if last_round_ms - interval_ms <= slot <= last_round_ms:
        slot = _slot(last_round_ms, interval_ms, phase) + interval_ms
    elif now_ms - slot > LATEST * interval_ms:
        slot += interval_ms
    jitter = int(rng.uniform(0, min(SPREAD * interval_ms, SPREAD_MOST_MS)))
    return NextRound(slot, max(now_ms, slot + within + jitter), interval_ms)


def _slot(at_ms: int, interval_ms: int, phase: int) -> int:
    """The start of the round that holds this time."""
    return (at_ms - phase) // interval_ms * interval_ms + phase


def limit_seconds(interval_ms: int) -> float:
    """Return the seconds after which a round begins no further endpoint."""
    return min(max(LIMIT * interval_ms / 1000, LIMIT_LEAST), LIMIT_MOST)


def month_bytes(round_bytes: float, interval_ms: int) -> int:
    """Return the traffic of a month in bytes at this interval."""
    return int(round_bytes * MONTH_MS / interval_ms)


def shared_interval(interval_ms: int, vantages: int | None) -> int:
    """Return the interval of rounds where so many vantages take turns, None for unknown: the usual
    one or less, in whole minutes."""
    if vantages is None or vantages >= ENOUGH_VANTAGES:
        return interval_ms
    grid = round_grid_ms(interval_ms)
    shared = interval_ms * vantages // ENOUGH_VANTAGES // grid * grid
    return min(interval_ms, max(shared, SHORTEST_MS))


def within_budget(interval_ms: int, round_bytes: float, income: float) -> int:
    """Return the interval, or the longer one in which the income (bytes per millisecond, see
    `probes.rounds.traffic_budget`) pays for a round.

    Only few lengths are used (four a doubling, in whole minutes), so that the interval does not
    change with every round's cost. At most a day: when a round a day costs more than the income,
    rounds are skipped.
    """
    needed = math.inf if income <= 0 else round_bytes / income
    step, stretched = 0, interval_ms
    while stretched < min(needed, DAY_MS):
        step += 1
        doublings, quarters = divmod(step, 4)
        exact = interval_ms * (4 + quarters) * 2**doublings // 4
        grid = round_grid_ms(interval_ms)
        stretched = -(-exact // grid) * grid
    return max(interval_ms, min(stretched, DAY_MS))
