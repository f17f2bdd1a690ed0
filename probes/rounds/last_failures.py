# SPDX-License-Identifier: Apache-2.0
"""Which endpoints failed in a round: the next round measures those differently. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from probes.wire.failure import Failure
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    HANDED_OVER,
    AppExchange,
    AtAddress,
    Contrast,
    DNSLookup,
    Observation,
    Purpose,
    QUICHandshake,
    TCPConnect,
)
from probes.wire.target import Target


def failed_endpoints(measurement: Measurement) -> dict[str, int]:
    """Return for each measured endpoint when an observation of purpose `subject` failed (Unix
    milliseconds, 0 when none did): the `history` of the next round. An endpoint counts as failed
    when any of its addresses failed."""
    failed: dict[str, int] = {}
    ended = max(measurement.started + measurement.took_us // 1000, 1)
    for seen in measurement.observations:
        if isinstance(seen, Observation) and is_own(seen):
            when = ended if has_failed(seen) else 0
            failed[seen.endpoint] = max(failed.get(seen.endpoint, 0), when)
    return failed


def dead_endpoints(measurement: Measurement) -> frozenset[str]:
    """Return the measured endpoints of which every address failed, or whose name did not resolve:
    nothing of them worked."""
    own = [seen for seen in measurement.observations if isinstance(seen, Observation)]
    own = [seen for seen in own if is_own(seen) and not _no_such_family(seen)]
    failed = {(seen.endpoint, _place(seen)) for seen in own if has_failed(seen)}
    tried = {(seen.endpoint, _place(seen)) for seen in own}
    dialled = {endpoint for endpoint, place in tried if place is not None}
    alive = {endpoint for endpoint, place in tried - failed if place or endpoint not in dialled}
    return frozenset(endpoint for endpoint, _ in failed if endpoint not in alive)


def repeated_endpoints(measurement: Measurement) -> frozenset[str]:
    """Return the endpoints of which a step was taken again, as where a failure is examined."""
    return frozenset(
        seen.endpoint
        for seen in measurement.observations
        if isinstance(seen, AtAddress) and seen.contrast is Contrast.REPEAT
    )


def _place(seen: Observation) -> tuple[str, int] | None:
    """Where a step was taken; None for a lookup."""
    return (seen.address, seen.port) if isinstance(seen, AtAddress) else None


def failing_targets(targets: Iterable[Target], history: Mapping[str, int]) -> dict[str, int]:
    """Return when those targets failed (Unix milliseconds) of which an endpoint failed in its last
    measurement, by id; `history` as above."""
    latest = {
        target.id: max((history.get(endpoint.id, 0) for endpoint in target.endpoints), default=0)
        for target in targets
    }
    return {id: when for id, when in latest.items() if when}


def is_own(seen: Observation) -> bool:
    """Whether a step was taken as the app would take it here: with the service's name, at an
    address that was not handed over from elsewhere."""
    return seen.purpose is Purpose.SUBJECT and HANDED_OVER not in seen.evidence


def has_failed(seen: Observation) -> bool:
    """Whether a step failed for another reason than that the machine has no IPv6."""
    foreign = isinstance(seen, AppExchange) and not seen.spoke
    return (seen.failure is not None or foreign) and not _no_such_family(seen)


def _no_such_family(seen: Observation) -> bool:
    """An IPv6 address on a machine without IPv6, or a name without IPv6 addresses."""
    match seen:
        case TCPConnect() | QUICHandshake() | AppExchange():
            here = seen.failure in (Failure.NETWORK_UNREACHABLE, Failure.ADDRESS_NOT_AVAILABLE)
            return ":" in seen.address and here and seen.icmp_type is None
        case DNSLookup():
            return seen.qtype == "AAAA"
        case _:
            return False
