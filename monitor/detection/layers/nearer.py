# SPDX-License-Identifier: Apache-2.0
"""Whether what ended a connection stands nearer than the server: then it is on the way, whoever
owns the server.

Two things tell. A reset that comes back in less than half of the time in which the server answers
the SYN was sent from nearer. So was one that answers a ClientHello whose life is so short that a
router still reports an expired SYN with the same life. A firewall beside the server shows neither
the first nor, unless routers stand between the two, the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.detection.observed.background import SENT_AGAIN
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.path import hop_before_server, hops_beyond
from monitor.detection.observed.view import AddressView
from probes.wire.observation import HTTPExchange, TLSHandshake

SOONER = "sooner_than_server"
"""Evidence that it ended in less than half of the server's round trip."""
BEFORE = "before_server"
"""Evidence that it ended at a hop from which the server is still farther away."""
HOPS_BEFORE = "hops_before_server"
"""Evidence beside it that the server is farther away by some hops more."""
LEAST_HOPS = 2
"""Routers behind the hop that still report an expired SYN. A service has firewalls of its own a hop
before its servers."""
_ANSWERED = (Kind.RESET, Kind.EOF, Kind.ALERT)
"""Ends that somebody sent."""
LEAST_CONNECTS = 2
"""The first packet after a pause waits for a radio or for the address of a neighbour."""
LEAST_TRIP_US = 40_000
"""Of a server that is nearer nothing is told: a busy probe notices an answer some ten milliseconds
late."""


def nearer_remarks(
    address: AddressView, kind: Kind, ended: Sequence[TLSHandshake | HTTPExchange]
) -> tuple[str, ...]:
    """Return what shows that the attempts with the service's name, which ended in this way, were
    ended by somebody nearer than the server."""
    remarks = []
    if kind in _ANSWERED and _sooner(address, [attempt.took_us for attempt in ended]):
        remarks.append(SOONER)
    if any(hop_before_server(kind, trace) is not None for trace in address.paths):
        remarks.append(BEFORE)
        if any(hops_beyond(kind, trace) >= LEAST_HOPS for trace in address.paths):
            remarks.append(HOPS_BEFORE)
    return tuple(remarks)


def _sooner(address: AddressView, waits_us: Iterable[int]) -> bool:
    trips = [
        connect.took_us
        for connect in (*address.tcp.every, *address.tcp.every_innocuous)
        if connect.failure is None and SENT_AGAIN not in connect.evidence
    ]
    longest = max(waits_us, default=0)
    return (
        len(trips) >= LEAST_CONNECTS
        and min(trips) >= LEAST_TRIP_US
        and longest > 0
        and 2 * longest <= min(trips)
    )
