# SPDX-License-Identifier: Apache-2.0
"""Whether the line of the vantage was there while a silent attempt was waited for, or when a router
had no way for it.

A line that is away for some seconds makes an attempt silent, and all is well before and after it.
So silence says something of the service only where something else was reached in between: after the
attempt, or the one before it was given up, and before its last packet left. One outage that makes
all of them silent would have kept that out as well. That hosts are reached again later shows no
more than that the line came back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from monitor.detection.observed.background import resent
from monitor.detection.observed.kinds import Kind, app_kind, quic_kind, reached, tcp_kind, tls_kind
from monitor.detection.observed.ranges import family
from monitor.detection.observed.view import EndpointView
from probes.wire.observation import (
    MACHINE_LATE,
    AppExchange,
    AtAddress,
    DNSLookup,
    HTTPExchange,
    Observation,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
)

SENDS_AGAIN_US = 1_000_000
"""When a first packet is sent again at the latest (RFC 6298, 2.1). An answer to the first one may
come as late, so until then an outage may begin that explains all of the silence."""
BESIDE_US = 1_000_000
"""What is made beside a repeat may begin so long before it."""
TOGETHER_US = 100_000
"""Within so long a line does not go and come back: what was reached so soon after a router had no
way passed on a line that was there then."""
LAST_SENT, LAST_ASKED = 0.33, 0.4
"""The part of a wait after which at least one more packet leaves: the pauses double, so that what
is left after the last packet is at most half of the wait and half of the first pause. A lookup is
asked again after a quarter and after 55 % of its time, which a busy machine makes longer."""


def line_unseen(
    siblings: Iterable[EndpointView], silent: Iterable[Observation], over: int | None = None
) -> bool:
    """Whether nothing shows that the line was there while these attempts got no answer. `siblings`:
    all endpoints of their measurement; `over`: the address family, of which a line may lose one
    alone; None where it is not known.

    False as well without an attempt, or where no attempt says how long it was waited for, as in
    files made by hand: whether the line was there is not known then, and nothing else rests on it.
    """
    windows = list(_windows(silent))
    if not windows:
        return False
    times = sorted(_reached(siblings, over))
    return not any(begin < at <= end for at in times for begin, end in windows)


def reached_since(siblings: Iterable[EndpointView], since_us: int) -> bool:
    """Whether anything was reached by an attempt that began at this time or later."""
    return any(seen.at_us >= since_us for seen in _passed(siblings))


def _windows(silent: Iterable[Observation]) -> Iterator[tuple[int, int]]:
    """When what is reached shows that the line was there, in microseconds: (after, until). None for
    an attempt for which a router had no way, unless it is a repeat."""
    timed = [seen for seen in silent if seen.at_us and seen.took_us]
    for seen in timed:
        if MACHINE_LATE in seen.evidence:
            continue  # it may have been silent for that reason, whatever else was reached
        ended = (other.at_us + other.took_us for other in timed)
        before = [end - BESIDE_US for end in ended if end <= seen.at_us]
        if isinstance(seen, TCPConnect) and tcp_kind(seen) is Kind.UNREACHABLE:
            # That ends at once: nothing can be reached meanwhile, only beside the repeat.
            if before:
                yield max(before), seen.at_us + seen.took_us + TOGETHER_US
            continue
        after = max(before) if before else seen.at_us + SENDS_AGAIN_US
        # Where parts of an answer came, it is not known when the silence began.
        is_partial = bool(getattr(seen, "received_bytes", 0))
        part = 0.0 if is_partial else LAST_ASKED if isinstance(seen, DNSLookup) else LAST_SENT
        yield after, seen.at_us + int(part * seen.took_us)


def _reached(siblings: Iterable[EndpointView], over: int | None) -> Iterator[int]:
    """Times at which a packet passed."""
    for seen in _passed(siblings):
        if over is None or family(seen.address) == over:
            yield seen.at_us + seen.took_us
            if isinstance(seen, TCPConnect) and not resent(seen):
                yield seen.at_us


def _passed(siblings: Iterable[EndpointView]) -> Iterator[AtAddress]:
    """Attempts by which anything was reached."""
    return (seen for endpoint in siblings for seen in _attempts(endpoint) if _answered(seen))


def _attempts(endpoint: EndpointView) -> Iterator[AtAddress]:
    again, ours = endpoint.hosts_again, endpoint.reflector
    yield from (*again.over_tcp, *again.over_udp)
    yield from (*endpoint.at_port.values(), *endpoint.at_other_port.values())
    yield from (seen for seen in (ours.tls, ours.quic, ours.http, ours.app) if seen is not None)
    for address in endpoint.addresses.values():
        for step in (address.tcp, address.tls, address.http, address.quic, address.app):
            yield from (*step.every, *step.every_innocuous)
            if step.beside is not None:
                yield step.beside


def _answered(seen: AtAddress) -> bool:
    """Whether a server answered; a reset may be the work of the router at home."""
    match seen:
        case TCPConnect():
            return tcp_kind(seen) is Kind.OK
        case TLSHandshake():
            return reached(kind := tls_kind(seen)) or kind is Kind.ALERT
        case QUICHandshake():
            return reached(kind := quic_kind(seen)) or kind is Kind.ALERT
        case HTTPExchange():
            return seen.failure is None
        case AppExchange():
            return app_kind(seen) in (Kind.OK, Kind.OTHER)
        case _:
            return False
