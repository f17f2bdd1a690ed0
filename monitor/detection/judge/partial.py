# SPDX-License-Identifier: Apache-2.0
"""Which part of a target is blocked: the evidence `partial:...` of a verdict that accuses.

`partial:endpoints` with `endpoint:ID` for each that is blocked, `partial:protocol` with
`protocol:NAME` when the same host answers over others, `partial:port` when every blocked host
answers at another port, `partial:addresses` with `address:ADDRESS`,
`partial:ipv4` or `partial:ipv6` when it is all of one family and the other works, `partial:flows`
when some connections pass and others die. `other_port_fails` when a host is blocked at two ports.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitor.detection.judge.address import AddressJudgement
from monitor.detection.judge.endpoint import EndpointJudgement
from monitor.detection.model import State
from monitor.detection.observed.ranges import family
from monitor.detection.observed.same_port import OTHER_PORT_FAILS, PARTIAL_PORT
from probes.wire.measurement import EndpointRef
from probes.wire.protocol import protocol

Judged = tuple[EndpointRef, EndpointJudgement]
MOST = 8
"""Most parts that are named one by one."""
_FAMILY = {"A": 4, "AAAA": 6}


def one_family(how: str, judged: Sequence[EndpointJudgement]) -> int | None:
    """The address family (4 or 6) that alone is blocked, while the target is reached over the
    other; else None. Where every endpoint is needed (`how`), each must be reached; else one may be
    lost that has addresses of this family alone."""
    for endpoint in judged:
        if endpoint.state is State.BLOCKED and (how == "all_of" or _has_both(endpoint)):
            return None
    families = {over for endpoint in judged for over in _cut_families(endpoint)}
    addresses = [address for endpoint in judged for address in endpoint.addresses if address.own]
    blocked = families.pop() if len(families) == 1 else None
    return blocked if blocked and _whole(blocked, addresses) else None


def parts(judged: Sequence[Judged], blocked_family: int | None = None) -> set[str]:
    """Return the evidence on the blocked part; empty when everything or nothing is blocked.
    `blocked_family`: as in `one_family`."""
    remarks = _endpoints(judged) | _hosts(judged)
    if blocked_family is not None:
        remarks.add(f"partial:ipv{blocked_family}")
    for _, endpoint in judged:
        if endpoint.state is State.IMPAIRED:
            remarks |= _addresses(endpoint)
    return remarks


def _endpoints(judged: Sequence[Judged]) -> set[str]:
    blocked = [ref for ref, endpoint in judged if endpoint.state is State.BLOCKED]
    working = [ref for ref, endpoint in judged if endpoint.works]
    if not blocked or not working:
        return set()
    remarks = {"partial:endpoints", *(f"endpoint:{ref.id}" for ref in blocked[:MOST])}
    over = {ref.protocol for ref in blocked}
    if over.isdisjoint(ref.protocol for ref in working) and {ref.host for ref in blocked} & {
        ref.host for ref in working
    }:
        remarks |= {"partial:protocol", *(f"protocol:{name}" for name in over)}
    if _one_port(blocked, working):
        remarks.add(PARTIAL_PORT)
    return remarks


def _hosts(judged: Sequence[Judged]) -> set[str]:
    """Whether a host was dialled in vain at two of its ports, or over TCP and UDP."""
    dead = {
        (_host(ref), _port(ref), protocol(ref.protocol).transport)
        for ref, endpoint in judged
        if endpoint.state is State.BLOCKED
        and any(address.state is State.BLOCKED for address in endpoint.addresses)
    }
    return {OTHER_PORT_FAILS} if len(dead) > len({host for host, *_ in dead}) else set()


def _one_port(blocked: Sequence[EndpointRef], working: Sequence[EndpointRef]) -> bool:
    """Whether what is blocked is one port of hosts that all answer at another one, in the same
    protocol."""
    ports = {_port(ref) for ref in blocked}
    hosts, answering = ({(_host(ref), ref.protocol) for ref in some} for some in (blocked, working))
    return len(ports) == 1 and ports.isdisjoint(map(_port, working)) and hosts <= answering


def _host(ref: EndpointRef) -> str:
    """Host or address of an endpoint."""
    return ref.id.rpartition("/")[0].rpartition(":")[0]


def _port(ref: EndpointRef) -> str:
    return ref.id.rpartition("/")[0].rpartition(":")[2]


def _addresses(endpoint: EndpointJudgement) -> set[str]:
    remarks: set[str] = set()
    own = [address for address in endpoint.addresses if address.own]
    if any(address.state is State.IMPAIRED for address in own):
        remarks.add("partial:flows")
    cut = [address for address in own if address.state is State.BLOCKED]
    families = _cut_families(endpoint)
    if len(families) == 1 and _whole(families.copy().pop(), own):
        remarks.add(f"partial:ipv{families.pop()}")
    elif cut:
        named = sorted(address.address for address in cut)
        remarks |= {"partial:addresses", *(f"address:{address}" for address in named[:MOST])}
    return remarks


def _has_both(endpoint: EndpointJudgement) -> bool:
    return len({family(address.address) for address in endpoint.addresses if address.own}) > 1


def _cut_families(endpoint: EndpointJudgement) -> set[int]:
    """The families of what is blocked: addresses of its own, and names of one query type; 0 stands
    for another query type."""
    cut = (a for a in endpoint.addresses if a.own and a.state is State.BLOCKED)
    denied = (
        _FAMILY.get(qtype, 0)
        for qtype, outcome in endpoint.by_qtype.items()
        if outcome.state is State.BLOCKED
    )
    return {*(family(address.address) for address in cut), *denied}


def _whole(blocked: int, own: Sequence[AddressJudgement]) -> bool:
    """Whether no address of this family works, and one of the other does."""
    works = {
        family(address.address) for address in own if address.state in (State.OK, State.IMPAIRED)
    }
    return bool(works) and blocked not in works
