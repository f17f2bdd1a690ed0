# SPDX-License-Identifier: Apache-2.0
"""At how many hops an interference acts, as a trace shows it: remarks beside a verdict, never a
reason for one.

`acts_at_hop:N`: hellos of fewer hops met nothing, and this one met what the full one meets. Whoever
does it stands before the N-th router, or is it. `hop:ADDRESS` is that router, as it calls itself.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from monitor.detection.facts.kinds import Kind
from monitor.detection.facts.ranges import special_range
from probes.wire.observation import PathHop, PathTrace

_HELLO = {
    Kind.RESET: "reset",
    Kind.EOF: "eof",
    Kind.ALERT: "alert",
    Kind.PLAIN_HTTP: "answer",
}
_DIED, _SILENT = "icmp", "silence"
_SURE = 2
"""So many routers in a row report a dead SYN and no dead hello, before silence counts: some report
only so many deaths a second."""
_HIDDEN = ("private", "link", "loopback", "unspecified", "malformed")


def path_remarks(kind: Kind, traces: Iterable[PathTrace]) -> tuple[str, ...]:
    """Return what the traces at one address say of a handshake that ended in this way."""
    for trace in traces:
        place = _silenced(trace.hops) if kind is Kind.TIMEOUT else _met(kind, trace.hops)
        if place is not None:
            shown = (f"hop:{place.router}",) if _public(place.router) else ()
            return (f"acts_at_hop:{place.ttl}", *shown)
    return ()


def _met(kind: Kind, hops: Sequence[PathHop]) -> PathHop | None:
    wanted = _HELLO.get(kind)
    return next((hop for hop in hops if wanted is not None and hop.hello == wanted), None)


def _silenced(hops: Sequence[PathHop]) -> PathHop | None:
    """The first of the silent ones, when routers spoke of the hello before and of SYNs since."""
    before = [hop for hop in hops if hop.hello == _DIED]
    after = [hop for hop in hops if not before or hop.ttl > before[-1].ttl]
    told = [hop for hop in after[:_SURE] if hop.hello == _SILENT and hop.router is not None]
    far_end = len(after) == _SURE and after[-1].hello == _SILENT
    enough = len(told) == _SURE or (bool(before) and len(told) == 1 and far_end)
    return after[0] if enough and told[0] is after[0] else None


def _public(router: str | None) -> bool:
    if router is None:
        return False
    try:
        ipaddress.ip_address(router.partition("%")[0])
    except ValueError:
        return False  # scrubbed
    return special_range(router) not in _HIDDEN
