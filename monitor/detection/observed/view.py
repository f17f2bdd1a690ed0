# SPDX-License-Identifier: Apache-2.0
"""Observations -> views of each endpoint and address. No judgement.

One attempt represents each step at each address: a success if there was one, so that a network that
let it pass once is not accused, else the first failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, assert_never

from monitor.detection.observed.kinds import (
    Kind,
    app_kind,
    dns_kind,
    http_kind,
    quic_kind,
    tcp_kind,
    tls_kind,
)
from monitor.detection.observed.ranges import family
from probes.wire.measurement import EndpointRef, Measurement
from probes.wire.observation import (
    LIVENESS_HOST,
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
AddressPort = tuple[str, int]


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
    tcp_innocuous: TCPConnect | None = None
    """The connect before a handshake with an innocuous name."""
    http: HTTPExchange | None = None
    http_repeated: bool = False
    http_innocuous: HTTPExchange | None = None
    http_unverified: HTTPExchange | None = None
    quic: QUICHandshake | None = None
    quic_repeated: bool = False
    quic_innocuous: QUICHandshake | None = None
    quics: list[QUICHandshake] = field(default_factory=list)
    """Every QUIC handshake with the service's name, repeats included."""
    tcp_beside: TCPConnect | None = None
    """TCP and TLS to the same address as QUIC, as a contrast: only the transport differs."""
    tls_beside: TLSHandshake | None = None
    app: AppExchange | None = None
    app_repeated: bool = False
    apps: list[AppExchange] = field(default_factory=list)
    """Every first exchange of the app's protocol, repeats included."""
    transfers: list[Transfer] = field(default_factory=list)
    """In the order made; `contrast` distinguishes the service's name from an innocuous one."""
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
        """A connection was established, at any attempt."""
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
    queries: dict[str, list[DNSLookup]] = field(default_factory=dict)
    """Every query to the system resolver by type, repeats included."""
    asked_again: set[str] = field(default_factory=set)
    """Query types that the system resolver was asked once more, from a fresh port."""
    references: list[DNSLookup] = field(default_factory=list)
    silent: list[DNSLookup] = field(default_factory=list)
    innocuous_lookups: list[DNSLookup] = field(default_factory=list)
    """An innocuous name at the system resolver, at the same time."""
    below: list[DNSLookup] = field(default_factory=list)
    """A name below the endpoint's that should not exist, at the system resolver and at others."""
    reflector: TLSHandshake | None = None
    quic_reflector: QUICHandshake | None = None
    hosts_again: list[TCPConnect] = field(default_factory=list)
    """Connects to hosts that liveness had reached, while a silent address was tried again."""
    udp_again: list[AppExchange] = field(default_factory=list)
    """Likewise exchanges with hosts that had answered over UDP."""
    transfers_elsewhere: list[Transfer] = field(default_factory=list)
    """Transfers from an address of ours."""
    addresses: dict[AddressPort, AddressView] = field(default_factory=dict)

    @property
    def seen(self) -> bool:
        """A step that the app would take was tried."""
        return bool(self.lookups) or any(address.seen for address in self.addresses.values())

    def at(self, address: str, port: int) -> AddressView:
        """The view of one address, created on first use."""
        return self.addresses.setdefault((address, port), AddressView(address, port))


def _better(old: _T | None, new: _T, passed: bool) -> _T:
    """The attempt that represents the step: the first success, else the first failure."""
    return new if old is None or (passed and old.failure is not None) else old


def view(measurement: Measurement) -> dict[str, EndpointView]:
    """Return every endpoint of the measurement, in catalogue order, with what was seen of it.

    Endpoints that only observations name come last. Unknown steps are skipped.
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
                _add_dns(endpoint, seen)
            case TCPConnect():
                _add_tcp(endpoint, seen)
            case TLSHandshake():
                _add_tls(endpoint, seen)
            case HTTPExchange():
                _add_http(endpoint, seen)
            case QUICHandshake():
                _add_quic(endpoint, seen)
            case AppExchange():
                _add_app(endpoint, seen)
            case Transfer():
                _add_transfer(endpoint, seen)
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


def _add_dns(endpoint: EndpointView, seen: DNSLookup) -> None:
    if seen.contrast is Contrast.SILENT_ADDRESS:
        endpoint.silent.append(seen)
    elif seen.contrast is Contrast.INNOCUOUS_NAME:
        endpoint.innocuous_lookups.append(seen)
    elif seen.contrast is Contrast.NAME_BELOW:
        endpoint.below.append(seen)
    elif seen.resolver == SYSTEM and seen.contrast in (None, Contrast.REPEAT):
        endpoint.queries.setdefault(seen.qtype, []).append(seen)
        old = endpoint.lookups.get(seen.qtype)
        if old is None or (dns_kind(seen) is Kind.OK and dns_kind(old) is not Kind.OK):
            endpoint.lookups[seen.qtype] = seen
        if seen.contrast is Contrast.REPEAT:
            endpoint.asked_again.add(seen.qtype)
    elif seen.purpose is Purpose.REFERENCE:
        endpoint.references.append(seen)


def _add_tcp(endpoint: EndpointView, seen: TCPConnect) -> None:
    if LIVENESS_HOST in seen.evidence:
        endpoint.hosts_again.append(seen)
        return
    if seen.contrast not in (None, Contrast.INNOCUOUS_NAME, Contrast.REPEAT):
        return
    address = endpoint.at(seen.address, seen.port)
    passed = tcp_kind(seen) is Kind.OK
    match seen.contrast:
        case None if seen.purpose is Purpose.CONTRAST:
            address.tcp_beside = _better(address.tcp_beside, seen, passed)
        case None:
            address.tcp = _better(address.tcp, seen, passed)
            address.connects.append(seen)
        case Contrast.INNOCUOUS_NAME:
            address.tcp_innocuous = _better(address.tcp_innocuous, seen, passed)
        case Contrast.REPEAT:
            address.tcp_repeated = address.tcp_repeated or passed
            address.connects.append(seen)


def _add_tls(endpoint: EndpointView, seen: TLSHandshake) -> None:
    passed = tls_kind(seen) is Kind.OK
    if seen.contrast is Contrast.REFLECTOR:
        endpoint.reflector = _better(endpoint.reflector, seen, passed)
        return
    address = endpoint.at(seen.address, seen.port)
    match seen.contrast:
        case None if seen.purpose is Purpose.CONTRAST:
            address.tls_beside = _better(address.tls_beside, seen, passed)
        case None:
            address.tls = _better(address.tls, seen, passed)
            address.handshakes.append(seen)
        case Contrast.REPEAT:
            address.tls_repeated = address.tls_repeated or passed
            address.handshakes.append(seen)
        case Contrast.CLASSICAL_HELLO:
            address.tls_classical = address.tls_classical or passed
            address.handshakes.append(seen)
        case Contrast.INNOCUOUS_NAME:
            address.tls_innocuous = _better(address.tls_innocuous, seen, passed)
            address.innocuous_handshakes.append(seen)
        case _:
            pass


def _add_http(endpoint: EndpointView, seen: HTTPExchange) -> None:
    address = endpoint.at(seen.address, seen.port)
    passed = http_kind(seen) is Kind.OK
    match seen.contrast:
        case None if seen.purpose is not Purpose.CONTRAST:
            address.http = _better(address.http, seen, passed)
            address.exchanges.append(seen)
        case Contrast.REPEAT:
            address.http_repeated = address.http_repeated or passed
            address.exchanges.append(seen)
        case Contrast.INNOCUOUS_NAME:
            address.http_innocuous = _better(address.http_innocuous, seen, passed)
            address.innocuous_exchanges.append(seen)
        case Contrast.NO_VERIFY:
            address.http_unverified = _better(address.http_unverified, seen, passed)
        case _:
            pass


def _add_quic(endpoint: EndpointView, seen: QUICHandshake) -> None:
    passed = quic_kind(seen) is Kind.OK
    if seen.contrast is Contrast.REFLECTOR:
        endpoint.quic_reflector = _better(endpoint.quic_reflector, seen, passed)
        return
    address = endpoint.at(seen.address, seen.port)
    match seen.contrast:
        case None if seen.purpose is not Purpose.CONTRAST:
            address.quic = _better(address.quic, seen, passed)
            address.quics.append(seen)
        case Contrast.REPEAT:
            address.quic_repeated = address.quic_repeated or passed
            address.quics.append(seen)
        case Contrast.INNOCUOUS_NAME:
            address.quic_innocuous = _better(address.quic_innocuous, seen, passed)
        case _:
            pass


def _add_app(endpoint: EndpointView, seen: AppExchange) -> None:
    if LIVENESS_HOST in seen.evidence:
        endpoint.udp_again.append(seen)
        return
    passed = app_kind(seen) is Kind.OK
    address = endpoint.at(seen.address, seen.port)
    if seen.contrast is None and seen.purpose is not Purpose.CONTRAST:
        address.app = _better(address.app, seen, passed)
        address.apps.append(seen)
    elif seen.contrast is Contrast.REPEAT:
        address.app_repeated = address.app_repeated or passed
        address.apps.append(seen)


def _add_transfer(endpoint: EndpointView, seen: Transfer) -> None:
    if seen.contrast is Contrast.REFLECTOR:
        endpoint.transfers_elsewhere.append(seen)
    else:
        endpoint.at(seen.address, seen.port).transfers.append(seen)


def answers(lookups: Iterable[DNSLookup]) -> frozenset[str]:
    """Addresses that a stub resolver would have accepted."""
    return frozenset(
        address for lookup in lookups if dns_kind(lookup) is Kind.OK for address in lookup.answers
    )


def proven(views: Sequence[EndpointView], host: str) -> frozenset[str]:
    """Addresses that showed a valid certificate for a host name, at any endpoint of the target."""
    return frozenset(
        address.address
        for endpoint in views
        if endpoint.ref.host == host
        for address in endpoint.addresses.values()
        if address.proven
    )
