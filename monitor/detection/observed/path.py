# SPDX-License-Identifier: Apache-2.0
"""The number of hops at which interference acts, according to a trace: evidence that a verdict
quotes, never a reason for one. The detector reads whether that was before the server.

`acts_at_hop:N`: a ClientHello, or a SYN, with a TTL below N had no effect, one with TTL N ended as
the full handshake, or the connection, does. The interfering device is the N-th router or stands
before it. `hop:ADDRESS` is the address that this router gives.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.ranges import special_range
from probes.wire.observation import PathHop, PathTrace

_HELLO = {
    Kind.RESET: "reset",
    Kind.EOF: "eof",
    Kind.ALERT: "alert",
    Kind.PLAIN_HTTP: "answer",
}
_DIED, _SILENT = "icmp", "silence"
_REFUSED = "reset"
_SURE = 2
"""Silence counts when so many routers in a row report an expired SYN and no expired ClientHello:
routers limit how many errors a second they report."""
_HIDDEN = ("private", "link", "loopback", "unspecified", "malformed")


def path_remarks(kind: Kind, traces: Iterable[PathTrace]) -> tuple[str, ...]:
    """Return what the traces at one address say of a handshake that ended in this way."""
    for trace in traces:
        hop = _acting(kind, trace)
        if hop is not None:
            return hop_remarks(hop)
    return ()


def hop_remarks(hop: PathHop) -> tuple[str, ...]:
    """What is said of the hop at which something acts."""
    router = (f"hop:{hop.router}",) if _public(hop.router) else ()
    return (f"acts_at_hop:{hop.ttl}", *router)


def hop_before_server(kind: Kind, trace: PathTrace) -> PathHop | None:
    """The hop at which a handshake ended in this way, where a SYN with the same TTL expired on its
    way to the server; None where that is not known."""
    hop = _acting(kind, trace)
    return None if hop is None or hop.router is None else hop


def hops_beyond(kind: Kind, trace: PathTrace) -> int:
    """How many hops farther than where a handshake ended in this way a SYN still expired; 0 where
    none is known."""
    acting = _acting(kind, trace)
    reported = [hop.ttl for hop in trace.hops if hop.router is not None]
    return 0 if acting is None else max(0, max(reported, default=0) - acting.ttl)


def refusing_hop(trace: PathTrace) -> PathHop | None:
    """The hop at which a SYN was refused."""
    return next((hop for hop in trace.hops if hop.syn == _REFUSED), None)


def routers_behind(trace: PathTrace, refusing: PathHop, hops: int) -> int:
    """How many routers, at least so many hops behind the one that refuses, reported a datagram."""
    return sum(hop.router is not None and hop.ttl >= refusing.ttl + hops for hop in trace.hops)


def _acting(kind: Kind, trace: PathTrace) -> PathHop | None:
    return _first_silent(trace.hops) if kind is Kind.TIMEOUT else _same_end(kind, trace.hops)


def _same_end(kind: Kind, hops: Sequence[PathHop]) -> PathHop | None:
    wanted = _HELLO.get(kind)
    return next((hop for hop in hops if wanted is not None and hop.hello == wanted), None)


def _first_silent(hops: Sequence[PathHop]) -> PathHop | None:
    """The first hop that reports no ClientHello, when routers before it reported it, and routers
    from there on still report SYNs."""
    before = [hop for hop in hops if hop.hello == _DIED]
    after = [hop for hop in hops if not before or hop.ttl > before[-1].ttl]
    silent = [hop for hop in after[:_SURE] if hop.hello == _SILENT and hop.router is not None]
    far_end = len(after) == _SURE and after[-1].hello == _SILENT
    enough = len(silent) == _SURE or (bool(before) and len(silent) == 1 and far_end)
    return after[0] if enough and silent[0] is after[0] else None


def _public(router: str | None) -> bool:
    if router is None:
        return False
    try:
        ipaddress.ip_address(router.partition("%")[0])
    except ValueError:
        return False  # scrubbed
    return special_range(router) not in _HIDDEN
