# SPDX-License-Identifier: Apache-2.0
"""Which hosts show whether this vantage is online, and how far its clock is off. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from probes.wire.measurement import LIVENESS_DOMESTIC, LIVENESS_INTERNATIONAL, Measurement
from probes.wire.observation import AppExchange, TCPConnect, TLSHandshake
from probes.wire.protocol import protocol
from probes.wire.target import Endpoint, LivenessHost, Target

_DATE_RESOLUTION_MS = 1000


def liveness_targets(hosts: Iterable[LivenessHost], country: str) -> tuple[Target, ...]:
    """Return the reserved targets: international, and domestic where this country has hosts."""
    chosen = tuple(hosts)
    scopes = {
        LIVENESS_INTERNATIONAL: [h for h in chosen if h.scope == "international"],
        LIVENESS_DOMESTIC: [h for h in chosen if h.scope == "domestic" and h.country == country],
    }
    return tuple(
        Target(id=name, combine="most", endpoints=tuple(_endpoint(h) for h in members))
        for name, members in scopes.items()
        if members
    )


def reached_hosts(measurement: Measurement) -> list[tuple[str, int]]:
    """Return where a TCP connection succeeded: an address of each host and family, and its port."""
    found = {
        (seen.endpoint, ":" in seen.address): (seen.address, seen.port)
        for seen in measurement.observations
        if isinstance(seen, TCPConnect) and seen.failure is None
    }
    return list(found.values())


def certificates_valid(measurement: Measurement) -> list[bool]:
    """Return for each certificate that was shown whether it is valid."""
    return [
        seen.failure is None
        for seen in measurement.observations
        if isinstance(seen, TLSHandshake) and (seen.failure is None or seen.verify_code)
    ]


def stun_hosts(measurement: Measurement) -> list[tuple[str, int]]:
    """Return where STUN was answered: an address of each host and family, and its port."""
    found = {
        (seen.endpoint, ":" in seen.address): (seen.address, seen.port)
        for seen in measurement.observations
        if isinstance(seen, AppExchange) and seen.protocol == "stun" and seen.spoke
    }
    return list(found.values())


def clock_offset_ms(dates_ms: Sequence[tuple[int, int]]) -> int | None:
    """Return our clock minus the servers' clocks, in milliseconds: the median over HTTP dates.

    Each pair is (their clock, ours). A date is truncated to the second, so half a second is added.
    """
    if not dates_ms:
        return None
    offsets = sorted(ours - theirs - _DATE_RESOLUTION_MS // 2 for theirs, ours in dates_ms)
    upper, lower = offsets[len(offsets) // 2], offsets[(len(offsets) - 1) // 2]
    return int((upper + lower) / 2)


def _endpoint(host: LivenessHost) -> Endpoint:
    try:
        ipaddress.ip_address(host.host)
    except ValueError:
        name, address = host.host, ""
    else:
        name, address = "", host.host
    return Endpoint(
        host=name,
        address=address,
        port=host.port,
        protocol=host.protocol,
        path=host.path,
        trust=host.trust,
        alpn=protocol(host.protocol).alpn,
    )
