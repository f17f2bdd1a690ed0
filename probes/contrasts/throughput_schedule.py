# SPDX-License-Identifier: Apache-2.0
"""When the throughput of an endpoint is measured, which costs traffic. No I/O.

A single run (`once`) measures it at every endpoint. The daemon does so every six hours, or every
twelfth time where an endpoint is measured rarely; all probes choose the same time for an endpoint,
so that the control's throughput is there to compare with. With the lean profile it is every fourth
of these times, by the probe's phase, so that four vantages of a network notice throttling as soon
as one that measures every six hours. A retest measures throughput only when it is asked to, or
where the endpoint looks throttled already.
While an endpoint looks throttled it is measured in every round. An exchange that failed or was
unexpectedly slow is a further reason, once an hour; with the lean profile not where the last
transfer of any endpoint showed that the line itself is slow.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from probes.endpoint.endpoint_run import ThroughputMode
from probes.wire.observation import AnyObservation, Contrast, HTTPExchange, Transfer
from probes.wire.speed import dead, slow, times_faster

EVERY_MS = 6 * 3_600_000
EVERY_ROUNDS = 12
LEAN_TURNS = 4
"""A transfer costs 75 kB or more; otherwise a lean round reads 4 kB of the same page."""
AGAIN_MS = 3_600_000
SUSPECT_TIMES = 5
"""How many times as fast the innocuous name, or our own host, must be to justify more transfers."""
_SLOW_BYTES_PER_SECOND = 100_000
_SERVER_US = 500_000
"""Time that a server may need to generate a page."""


class ThroughputOutcome(Enum):
    """What the last transfers of an endpoint showed."""

    FINE = "fine"
    SLOW = "slow"
    """Slow for every name and every destination: probably the volunteer's line."""
    SUSPECT = "suspect"
    """Much slower than an innocuous name or our own host."""


@dataclass
class _LastTransfer:
    round_ms: int
    measured: bool = False
    outcome: ThroughputOutcome = ThroughputOutcome.FINE


@dataclass
class ThroughputSchedule:
    """The last transfers of each endpoint, by id; lost at a restart."""

    _last: dict[str, _LastTransfer] = field(default_factory=dict)
    _slow_line: bool = False

    def mode(
        self,
        endpoint: str,
        round_ms: int,
        interval_ms: int,
        *,
        lean: bool = False,
        retest: bool = False,
        wanted: bool = False,
    ) -> ThroughputMode:
        """Return what this round may do at an endpoint. `interval_ms` is 0 for a single run;
        `wanted`: the retest asks for throughput."""
        if not interval_ms and not retest:
            return ThroughputMode.ON
        last = self._last.setdefault(endpoint, _LastTransfer(round_ms))
        if last.outcome is ThroughputOutcome.SUSPECT:
            return ThroughputMode.ON
        if retest:
            may = wanted and last.outcome is not ThroughputOutcome.SLOW
            return ThroughputMode.ON if may else ThroughputMode.OFF
        every = max(EVERY_MS, EVERY_ROUNDS * interval_ms // (LEAN_TURNS if lean else 1))
        offset = zlib.crc32(endpoint.encode()) % every
        if lean:
            offset += LEAN_TURNS * (round_ms % interval_ms) // interval_ms * every
            every *= LEAN_TURNS
        if (round_ms - offset) // every != (last.round_ms - offset) // every:
            return ThroughputMode.ON
        recent = last.measured and round_ms - last.round_ms < AGAIN_MS
        if recent or last.outcome is ThroughputOutcome.SLOW or (lean and self._slow_line):
            return ThroughputMode.OFF
        return ThroughputMode.IF_SLOW

    def record(self, endpoint: str, round_ms: int, seen: Iterable[AnyObservation]) -> None:
        """Remember the transfers of a round; without one nothing changes."""
        transfers = [o for o in seen if isinstance(o, Transfer)]
        if transfers:
            found = outcome(transfers)
            self._last[endpoint] = _LastTransfer(round_ms, True, found)
            self._slow_line = found is ThroughputOutcome.SLOW


def outcome(transfers: Iterable[Transfer]) -> ThroughputOutcome:
    """Return what the transfers of one endpoint show. Only the probe's own planning uses it."""
    ordered = list(transfers)
    subject = [seen for seen in ordered if seen.contrast is None]
    others = [seen for seen in ordered if seen.contrast is not None]
    if not subject or not all(slow(seen) or dead(seen) for seen in subject):
        return ThroughputOutcome.FINE
    suspect = any(times_faster(o, s, SUSPECT_TIMES) for o in others for s in subject)
    return ThroughputOutcome.SUSPECT if suspect else ThroughputOutcome.SLOW


def unexpectedly_slow(exchange: HTTPExchange | None, round_trip_us: int) -> bool:
    """Whether an app's own exchange failed after its handshake, or took far longer than its round
    trips explain. `round_trip_us` is that of the connection, in microseconds."""
    if exchange is None:
        return False
    if exchange.failure is not None:
        return True
    if exchange.contrast is Contrast.NO_VERIFY:
        return False
    left_us = exchange.took_us - 4 * round_trip_us - _SERVER_US
    return left_us * _SLOW_BYTES_PER_SECOND > max(exchange.received_bytes, 16384) * 1_000_000
