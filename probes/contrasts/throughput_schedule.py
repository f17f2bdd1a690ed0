# SPDX-License-Identifier: Apache-2.0
"""When a transfer is worth its traffic: each endpoint's last look at its speed. No I/O.

A single run (`once`) looks at every endpoint. In the daemon a look is due every six hours, or
every twelfth round where rounds are rare; all probes look at an endpoint in the same round, so
that the control's speed is there to compare with. While something looks throttled every round
looks; an exchange that was oddly slow is a reason too, once an hour.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from probes.wire.observation import AnyObservation, Contrast, HTTPExchange, Transfer
from probes.wire.speed import slow, times_faster

EVERY_MS = 6 * 3_600_000
EVERY_ROUNDS = 12
AGAIN_MS = 3_600_000
SUSPECT_TIMES = 5
"""The innocuous name, or our own host, so many times as fast: worth further turns."""
_SLOW_ANSWER = 100_000
_THINKING_US = 500_000
"""What a server may take to make its page."""
_STALLED_BYTES = 1024


class Look(Enum):
    """What a visit may spend on speed."""

    NO = "no"
    MAY = "may"
    """Only when the app's own exchange was oddly slow."""
    DUE = "due"


class Sight(Enum):
    """What the last look gave."""

    FINE = "fine"
    SLOW = "slow"
    """Slow, whatever the name and wherever to: this line, for all one can tell."""
    SUSPECT = "suspect"


@dataclass
class _Last:
    round_ms: int
    looked: bool = False
    sight: Sight = Sight.FINE


@dataclass
class Looks:
    """The last look at each endpoint, by id; forgotten at a restart."""

    _last: dict[str, _Last] = field(default_factory=dict)

    def wish(self, endpoint: str, round_ms: int, interval_ms: int, *, retest: bool = False) -> Look:
        """What the visit of this round may do. `interval_ms` is 0 for a single run."""
        if not interval_ms and not retest:
            return Look.DUE
        last = self._last.setdefault(endpoint, _Last(round_ms))
        if last.sight is Sight.SUSPECT:
            return Look.DUE
        if retest:
            return Look.NO
        every = max(EVERY_MS, EVERY_ROUNDS * interval_ms)
        place = zlib.crc32(endpoint.encode()) % every
        if (round_ms - place) // every != (last.round_ms - place) // every:
            return Look.DUE
        recent = last.looked and round_ms - last.round_ms < AGAIN_MS
        return Look.NO if recent or last.sight is Sight.SLOW else Look.MAY

    def note(self, endpoint: str, round_ms: int, seen: Iterable[AnyObservation]) -> None:
        """Remember what a visit saw; without a transfer nothing changes."""
        transfers = [o for o in seen if isinstance(o, Transfer)]
        if transfers:
            self._last[endpoint] = _Last(round_ms, True, sight(transfers))


def sight(transfers: Iterable[Transfer]) -> Sight:
    """What a series of transfers of one endpoint amounts to, for the probe's own planning."""
    ordered = list(transfers)
    subject = [seen for seen in ordered if seen.contrast is None]
    others = [seen for seen in ordered if seen.contrast is not None]
    if not subject or not all(map(slow, subject)):
        return Sight.FINE
    suspect = any(times_faster(o, s, SUSPECT_TIMES) for o in others for s in subject)
    return Sight.SUSPECT if suspect else Sight.SLOW


def oddly_slow(exchange: HTTPExchange | None, round_trip_us: int) -> bool:
    """The app's own exchange stalled after its first bytes, or took far longer than round trips
    explain. `round_trip_us`: of the connection, in microseconds."""
    if exchange is None:
        return False
    if exchange.failure is not None:
        return exchange.received_bytes >= _STALLED_BYTES
    if exchange.contrast is Contrast.NO_VERIFY:
        return False
    left_us = exchange.took_us - 4 * round_trip_us - _THINKING_US
    return left_us * _SLOW_ANSWER > max(exchange.received_bytes, 16384) * 1_000_000
