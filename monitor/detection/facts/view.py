# SPDX-License-Identifier: Apache-2.0
"""Observations -> facts per endpoint and address. Sorting only; no judgement.

One attempt stands for each step at each address: a success when there was one, so that what
worked once is never held against the network, else the first failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, assert_never

from monitor.detection.facts.kinds import (
    Kind,
    app_kind,
    dns_kind,
    http_kind,
    quic_kind,
    tcp_kind,
    tls_kind,
)
from monitor.detection.facts.ranges import family
from probes.wire.measurement import EndpointRef, Measurement
from probes.wire.observation import (
    AppExchange,
    Contrast,
    DNSLookup,
    HTTPExchange,
    PathTrace,
    Purpose,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    Transfer,
    Unrecognised,
)

SYSTEM = "system"
ENCRYPTED = ("dot", "doh")
_T = TypeVar("_T", DNSLookup, TCPConnect, TLSHandshake, QUICHandshake, HTTPExchange, AppExchange)
Place = tuple[str, int]


@dataclass
class AddressView:
    """What was seen at one address and port of an endpoint."""

    address: str
    port: int
    tcp: TCPConnect | None = None
    tcp_repeated: bool = False
    """A repeat of the subject connected."""
    tls: TLSHandshake | None = None
    tls_repeated: bool = False
    tls_classical: bool = False
    """The smaller ClientHello got a valid certificate."""
    tls_innocuous: TLSHandshake | None = None
    http: HTTPExchange | None = None
    http_repeated: bool = False
    http_innocuous: HTTPExchange | None = None
    http_unverified: HTTPExchange | None = None
    quic: QUICHandshake | None = None
    quic_repeated: bool = False
    quic_innocuous: QUICHandshake | None = None
    tcp_beside: TCPConnect | None = None
    """TCP and TLS to the same address beside QUIC, as a contrast: only the transport differs."""
    tls_beside: TLSHandshake | None = None
    app: AppExchange | None = None
    app_repeated: bool = False
    transfers: list[Transfer] = field(default_factory=list)
    """In the order made; `contrast` tells the service's name from an innocuous one."""
    paths: list[PathTrace] = field(default_factory=list)
    connects: list[TCPConnect] = field(default_factory=list)
    """Every attempt to connect as the app would, repeats included, in their order."""
    handshakes: list[TLSHandshake] = field(default_factory=list)
    """Every handshake with the service's name, repeats and the smaller hello included."""
    innocuous_handshakes: list[TLSHandshake] = field(default_factory=list)
    exchanges: list[HTTPExchange] = field(default_factory=list)
    """Every request with the service's name, repeats included."""
    innocuous_exchanges: list[HTTPExchange] = field(default_factory=list)

    @property
    def family(self) -> int:
        """4 or 6."""
        return family(self.address)

    @property
    def proven(self) -> bool:
        """It showed a valid certificate for the service's name."""
        shaken = any(s is not None and tls_kind(s) is Kind.OK for s in (self.tls, self.tls_beside))
        quic = self.quic is not None and quic_kind(self.quic) is Kind.OK
        return shaken or self.tls_repeated or self.tls_classical or quic or self.quic_repeated

    @property
    def tcp_passed(self) -> bool:
        """A connection came about, by whatever attempt."""
        return self.tcp_repeated or (self.tcp is not None and self.tcp.failure is None)

    @property
    def seen(self) -> bool:
        """The service's own name was tried here."""
        return any((self.tcp, self.tls, self.http, self.quic, self.app))


@dataclass
class EndpointView:
    """What was seen of one endpoint."""

    ref: EndpointRef
    lookups: dict[str, DNSLookup] = field(default_factory=dict)
    """The system resolver's answer by query type."""
    attempts: dict[str, int] = field(default_factory=dict)
    """How often the system resolver was asked at least, by query type."""
    references: list[DNSLookup] = field(default_factory=list)
    silent: list[DNSLookup] = field(default_factory=list)
    innocuous_lookups: list[DNSLookup] = field(default_factory=list)
    """An innocuous name at the system resolver, at the same time."""
    reflector: TLSHandshake | None = None
    quic_reflector: QUICHandshake | None = None
    transfers_elsewhere: list[Transfer] = field(default_factory=list)
    """Transfers from an address of ours."""
    places: dict[Place, AddressView] = field(default_factory=dict)

    @property
    def seen(self) -> bool:
        """Something that the app would do was tried."""
        return bool(self.lookups) or any(place.seen for place in self.places.values())

    def at(self, address: str, port: int) -> AddressView:
        """The view of one address, made when new."""
        return self.places.setdefault((address, port), AddressView(address, port))


def _better(old: _T | None, new: _T, passed: bool) -> _T:
    """The attempt that stands: the first success, else the first failure."""
    return new if old is None or (passed and old.failure is not None) else old


def view(measurement: Measurement) -> dict[str, EndpointView]:
    """Return every endpoint of the measurement, in catalogue order, with what was seen of it.

    Endpoints that only observations name come last. Unknown steps are passed over.
    """
    views = {ref.id: EndpointView(ref) for ref in measurement.endpoints}
    for seen in measurement.observations:
        if isinstance(seen, Unrecognised):
            continue
        if seen.endpoint not in views:
            views[seen.endpoint] = EndpointView(_guessed(seen.endpoint))
        endpoint = views[seen.endpoint]
        match seen:
            case DNSLookup():
                _place_dns(endpoint, seen)
            case TCPConnect():
                _place_tcp(endpoint, seen)
            case TLSHandshake():
                _place_tls(endpoint, seen)
            case HTTPExchange():
                _place_http(endpoint, seen)
            case QUICHandshake():
                _place_quic(endpoint, seen)
            case AppExchange():
                _place_app(endpoint, seen)
            case Transfer():
                _place_transfer(endpoint, seen)
            case PathTrace():
                endpoint.at(seen.address, seen.port).paths.append(seen)
            case _:
                assert_never(seen)
    return views


def _guessed(id: str) -> EndpointRef:
    """An endpoint that the measurement does not list, from its id `host:port/protocol`."""
    authority, _, protocol = id.rpartition("/")
    host = authority.rpartition(":")[0]
    literal = host.startswith("[") or host.replace(".", "").isdigit()
    return EndpointRef(id=id, protocol=protocol[:64], host="" if literal else host)


def _place_dns(endpoint: EndpointView, seen: DNSLookup) -> None:
    if seen.contrast is Contrast.SILENT_ADDRESS:
        endpoint.silent.append(seen)
    elif seen.contrast is Contrast.INNOCUOUS_NAME:
        endpoint.innocuous_lookups.append(seen)
    elif seen.resolver == SYSTEM and seen.contrast in (None, Contrast.REPEAT):
        old = endpoint.lookups.get(seen.qtype)
        if old is None or (dns_kind(seen) is Kind.OK and dns_kind(old) is not Kind.OK):
            endpoint.lookups[seen.qtype] = seen
        sent = 2 if "sent_again" in seen.evidence else 1
        endpoint.attempts[seen.qtype] = endpoint.attempts.get(seen.qtype, 0) + sent
    elif seen.purpose is Purpose.REFERENCE:
        endpoint.references.append(seen)


def _place_tcp(endpoint: EndpointView, seen: TCPConnect) -> None:
    passed = tcp_kind(seen) is Kind.OK
    if seen.contrast is None and seen.purpose is Purpose.CONTRAST:
        place = endpoint.at(seen.address, seen.port)
        place.tcp_beside = _better(place.tcp_beside, seen, passed)
        return
    if seen.contrast is None and seen.purpose is not Purpose.CONTRAST:
        place = endpoint.at(seen.address, seen.port)
        place.tcp = _better(place.tcp, seen, passed)
        place.connects.append(seen)
    elif seen.contrast is Contrast.REPEAT:
        place = endpoint.at(seen.address, seen.port)
        place.tcp_repeated = place.tcp_repeated or passed
        place.connects.append(seen)


def _place_tls(endpoint: EndpointView, seen: TLSHandshake) -> None:
    passed = tls_kind(seen) is Kind.OK
    if seen.contrast is Contrast.REFLECTOR:
        endpoint.reflector = _better(endpoint.reflector, seen, passed)
        return
    place = endpoint.at(seen.address, seen.port)
    match seen.contrast:
        case None if seen.purpose is Purpose.CONTRAST:
            place.tls_beside = _better(place.tls_beside, seen, passed)
        case None:
            place.tls = _better(place.tls, seen, passed)
            place.handshakes.append(seen)
        case Contrast.REPEAT:
            place.tls_repeated = place.tls_repeated or passed
            place.handshakes.append(seen)
        case Contrast.CLASSICAL_HELLO:
            place.tls_classical = place.tls_classical or passed
            place.handshakes.append(seen)
        case Contrast.INNOCUOUS_NAME:
            place.tls_innocuous = _better(place.tls_innocuous, seen, passed)
            place.innocuous_handshakes.append(seen)
        case _:
            pass


def _place_http(endpoint: EndpointView, seen: HTTPExchange) -> None:
    place = endpoint.at(seen.address, seen.port)
    passed = http_kind(seen) is Kind.OK
    match seen.contrast:
        case None if seen.purpose is not Purpose.CONTRAST:
            place.http = _better(place.http, seen, passed)
            place.exchanges.append(seen)
        case Contrast.REPEAT:
            place.http_repeated = place.http_repeated or passed
            place.exchanges.append(seen)
        case Contrast.INNOCUOUS_NAME:
            place.http_innocuous = _better(place.http_innocuous, seen, passed)
            place.innocuous_exchanges.append(seen)
        case Contrast.NO_VERIFY:
            place.http_unverified = _better(place.http_unverified, seen, passed)
        case _:
            pass


def _place_quic(endpoint: EndpointView, seen: QUICHandshake) -> None:
    passed = quic_kind(seen) is Kind.OK
    if seen.contrast is Contrast.REFLECTOR:
        endpoint.quic_reflector = _better(endpoint.quic_reflector, seen, passed)
        return
    place = endpoint.at(seen.address, seen.port)
    match seen.contrast:
        case None if seen.purpose is not Purpose.CONTRAST:
            place.quic = _better(place.quic, seen, passed)
        case Contrast.REPEAT:
            place.quic_repeated = place.quic_repeated or passed
        case Contrast.INNOCUOUS_NAME:
            place.quic_innocuous = _better(place.quic_innocuous, seen, passed)
        case _:
            pass


def _place_app(endpoint: EndpointView, seen: AppExchange) -> None:
    passed = app_kind(seen) is Kind.OK
    place = endpoint.at(seen.address, seen.port)
    if seen.contrast is None and seen.purpose is not Purpose.CONTRAST:
        place.app = _better(place.app, seen, passed)
    elif seen.contrast is Contrast.REPEAT:
        place.app_repeated = place.app_repeated or passed


def _place_transfer(endpoint: EndpointView, seen: Transfer) -> None:
    if seen.contrast is Contrast.REFLECTOR:
        endpoint.transfers_elsewhere.append(seen)
    else:
        endpoint.at(seen.address, seen.port).transfers.append(seen)


def answers(lookups: Iterable[DNSLookup]) -> frozenset[str]:
    """Addresses that a stub resolver would have believed."""
    return frozenset(
        address for lookup in lookups if dns_kind(lookup) is Kind.OK for address in lookup.answers
    )


def proven(views: Sequence[EndpointView], host: str) -> frozenset[str]:
    """Addresses that proved themselves for a host name, at whatever endpoint of the target."""
    return frozenset(
        place.address
        for endpoint in views
        if endpoint.ref.host == host
        for place in endpoint.places.values()
        if place.proven
    )
