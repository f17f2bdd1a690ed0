# SPDX-License-Identifier: Apache-2.0
"""Whether what ended a connection stands nearer than the server: then it is on the way, whoever
owns the server.

Two things tell. A reset that comes back in less than half of the time in which the server answers
the SYN was sent from nearer. So was one that answers a ClientHello whose life is so short that a
router still reports an expired SYN with the same life. A firewall beside the server shows neither
the first nor, unless routers stand between the two, the second. Where already the SYN is refused, a
SYN of short life shows where, and datagrams show how much farther the server is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from monitor.detection.observed.background import SENT_AGAIN
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.path import (
    hop_before_server,
    hop_remarks,
    hops_beyond,
    refusing_hop,
    routers_behind,
)
from monitor.detection.observed.view import AddressView
from probes.wire.observation import (
    INNOCUOUS_EXPIRES,
    HTTPExchange,
    PathTrace,
    TLSHandshake,
)

SOONER = "sooner_than_server"
"""Evidence that it ended in less than half of the server's round trip."""
BEFORE = "before_server"
"""Evidence that it ended at a hop from which the server is still farther away."""
HOPS_BEFORE = "hops_before_server"
"""Evidence beside it that the server is farther away by some hops more."""
LEAST_HOPS = 2
"""Routers behind the hop that still report an expired SYN. A service has firewalls of its own a hop
before its servers."""
LEAST_HOPS_REFUSED = 4
"""The same where a SYN is refused: the border of a data centre refuses in its servers' name."""
LEAST_ROUTERS = 2
"""So many must report it: datagrams may take another way than the SYN."""
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


def refusal_remarks(kind: Kind, traces: Iterable[PathTrace]) -> tuple[str, ...]:
    """Return what the traces at one address say of a SYN that ended in this way. Where an innocuous
    host's SYN was not seen to expire there, a proxy may have handed on what the server said."""
    for trace in traces if kind is Kind.RESET else ():
        if (refusing := refusing_hop(trace)) is not None:
            behind = routers_behind(trace, refusing, LEAST_HOPS_REFUSED) >= LEAST_ROUTERS
            nearer = behind and INNOCUOUS_EXPIRES in trace.evidence
            return (*hop_remarks(refusing), *((BEFORE, HOPS_BEFORE) if nearer else ()))
    return ()


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
