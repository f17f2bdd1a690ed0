# SPDX-License-Identifier: Apache-2.0
"""Observations -> views of each endpoint and address. No judgement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec
from msgspec import field

from monitor.detection.observed.attempts import Attempts, better
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
    HANDED_OVER,
    LIVENESS_HOST,
    OTHER_PORT,
    SAME_PORT,
    UNCHECKED,
    AppExchange,
    AtAddress,
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
AddressPort = tuple[str, int]


class AddressView(msgspec.Struct):
    """What was seen at one address and port of an endpoint."""

    address: str
    port: int
    tcp: Attempts[TCPConnect] = field(default_factory=lambda: Attempts(tcp_kind))
    tls: Attempts[TLSHandshake] = field(default_factory=lambda: Attempts(tls_kind))
    http: Attempts[HTTPExchange] = field(default_factory=lambda: Attempts(http_kind))
    quic: Attempts[QUICHandshake] = field(default_factory=lambda: Attempts(quic_kind))
    app: Attempts[AppExchange] = field(default_factory=lambda: Attempts(app_kind))
    classical: bool = False
    """The smaller ClientHello got a valid certificate."""
    looked_past: list[TLSHandshake] = field(default_factory=list)
    """Handshakes that look past a bad certificate."""
    unverified: HTTPExchange | None = None
    """The request over one of them."""
    transfers: list[Transfer] = field(default_factory=list)
    """In the order made; `contrast` distinguishes the service's name from an innocuous one."""
    paths: list[PathTrace] = field(default_factory=list)

    @property
    def family(self) -> int:
        """4 or 6."""
        return family(self.address)

    @property
    def proven(self) -> bool:
        """It showed a valid certificate for the service's name."""
        beside = self.tls.beside
        return (
            self.tls.passed
            or self.classical
            or self.quic.passed
            or (beside is not None and tls_kind(beside) is Kind.OK)
        )

    @property
    def seen(self) -> bool:
        """The service's own name was tried here."""
        return self.tcp.tried or self.deeper

    @property
    def deeper(self) -> bool:
        """More than a connection was tried here."""
        return self.tls.tried or self.http.tried or self.quic.tried or self.app.tried


class NameView(msgspec.Struct):
    """What resolvers said of an endpoint's name, and of names beside it."""

    lookups: dict[str, DNSLookup] = field(default_factory=dict)
    """The system resolver's answer by query type."""
    queries: dict[str, list[DNSLookup]] = field(default_factory=dict)
    """Every query to the system resolver by type, repeats included."""
    asked_again: set[str] = field(default_factory=set)
    """Query types that the system resolver was asked once more, from a fresh port."""
    references: list[DNSLookup] = field(default_factory=list)
    unchecked: list[DNSLookup] = field(default_factory=list)
    """Queries to the system resolver that ask it not to check signatures."""
    silent: list[DNSLookup] = field(default_factory=list)
    """The endpoint's name at an address that runs no DNS."""
    silent_usually: list[DNSLookup] = field(default_factory=list)
    """An innocuous name there. An answer shows a network that leads every query to one resolver."""
    innocuous: list[DNSLookup] = field(default_factory=list)
    """An innocuous name at the system resolver, at the same time."""
    below: list[DNSLookup] = field(default_factory=list)
    """A name below the endpoint's that should not exist, at the system resolver and at others."""


class ReflectorView(msgspec.Struct):
    """What was seen at an address of ours, with the service's name and with others."""

    tls: TLSHandshake | None = None
    quic: QUICHandshake | None = None
    http: HTTPExchange | None = None
    """Whoever answers a request in clear text there: nobody serves pages at this address."""
    app: AppExchange | None = None
    """What other first bytes than the app's get there, at the app's port."""
    transfers: list[Transfer] = field(default_factory=list)


class HostsAgain(msgspec.Struct):
    """Hosts that liveness had reached, tried once more while a silent address was."""

    over_tcp: list[TCPConnect] = field(default_factory=list)
    over_udp: list[AppExchange] = field(default_factory=list)


class EndpointView(msgspec.Struct):
    """What was seen of one endpoint."""

    ref: EndpointRef
    name: NameView = field(default_factory=NameView)
    reflector: ReflectorView = field(default_factory=ReflectorView)
    hosts_again: HostsAgain = field(default_factory=HostsAgain)
    at_port: dict[str, TCPConnect] = field(default_factory=dict)
    """Innocuous hosts, by address, that were connected to at the port of this endpoint."""
    at_other_port: dict[str, TCPConnect] = field(default_factory=dict)
    """Addresses of this endpoint that were connected to at another port."""
    addresses: dict[AddressPort, AddressView] = field(default_factory=dict)
    handed_over: dict[AddressPort, AddressView] = field(default_factory=dict)
    """Addresses that no resolver gave a control: they failed elsewhere, and are compared with
    themselves alone."""

    @property
    def seen(self) -> bool:
        """A step that the app would take was tried."""
        return bool(self.name.lookups) or any(a.seen for a in self.addresses.values())

    def at(self, address: str, port: int, *, handed_over: bool = False) -> AddressView:
        """The view of one address, created on first use."""
        views = self.handed_over if handed_over else self.addresses
        if (known := views.get((address, port))) is None:
            known = views[address, port] = AddressView(address, port)
        return known

    def of(self, step: AtAddress) -> AddressView:
        """The view of the address at which a step was taken."""
        return self.at(step.address, step.port, handed_over=HANDED_OVER in step.evidence)


def view(measurement: Measurement) -> dict[str, EndpointView]:
    """Return every endpoint of the measurement, in catalogue order, with what was seen of it.

    Endpoints that only observations name come last. Unknown steps are skipped.
    """
    views = {ref.id: EndpointView(ref) for ref in measurement.endpoints}
    for observation in measurement.observations:
        if isinstance(observation, Unrecognised):
            continue
        if observation.endpoint not in views:
            views[observation.endpoint] = EndpointView(_guessed(observation.endpoint))
        endpoint = views[observation.endpoint]
        match observation:
            case DNSLookup():
                _add_dns(endpoint.name, observation, endpoint.ref.host)
            case TCPConnect():
                _add_tcp(endpoint, observation)
            case TLSHandshake():
                _add_tls(endpoint, observation)
            case HTTPExchange():
                _add_http(endpoint, observation)
            case QUICHandshake():
                _add_quic(endpoint, observation)
            case AppExchange():
                _add_app(endpoint, observation)
            case Transfer():
                _add_transfer(endpoint, observation)
            case PathTrace():
                endpoint.of(observation).paths.append(observation)
            case _:
                assert_never(observation)
    return views


def _guessed(id: str) -> EndpointRef:
    """An endpoint that the measurement does not list, from its id `host:port/protocol`."""
    authority, _, protocol = id.rpartition("/")
    host = authority.rpartition(":")[0]
    literal = host.startswith("[") or host.replace(".", "").isdigit()
    return EndpointRef(id=id, protocol=protocol[:64], host="" if literal else host)


def _add_dns(name: NameView, lookup: DNSLookup, host: str) -> None:
    if lookup.contrast is Contrast.SILENT_ADDRESS:
        (name.silent if lookup.name == host else name.silent_usually).append(lookup)
    elif UNCHECKED in lookup.evidence:
        name.unchecked.append(lookup)
    elif lookup.contrast is Contrast.INNOCUOUS_NAME:
        name.innocuous.append(lookup)
    elif lookup.contrast is Contrast.NAME_BELOW:
        name.below.append(lookup)
    elif lookup.resolver == SYSTEM and lookup.contrast in (None, Contrast.REPEAT):
        name.queries.setdefault(lookup.qtype, []).append(lookup)
        old = name.lookups.get(lookup.qtype)
        if old is None or (dns_kind(lookup) is Kind.OK and dns_kind(old) is not Kind.OK):
            name.lookups[lookup.qtype] = lookup
        if lookup.contrast is Contrast.REPEAT:
            name.asked_again.add(lookup.qtype)
    elif lookup.purpose is Purpose.REFERENCE:
        name.references.append(lookup)


def _add_tcp(endpoint: EndpointView, connect: TCPConnect) -> None:
    if LIVENESS_HOST in connect.evidence:
        endpoint.hosts_again.over_tcp.append(connect)
    elif SAME_PORT in connect.evidence:
        before = endpoint.at_port.get(connect.address)
        endpoint.at_port[connect.address] = better(before, connect, tcp_kind(connect))
    elif OTHER_PORT in connect.evidence:
        before = endpoint.at_other_port.get(connect.address)
        endpoint.at_other_port[connect.address] = better(before, connect, tcp_kind(connect))
    elif connect.contrast in (None, Contrast.INNOCUOUS_NAME, Contrast.REPEAT):
        endpoint.of(connect).tcp.add(connect)


def _add_tls(endpoint: EndpointView, handshake: TLSHandshake) -> None:
    if handshake.contrast is Contrast.REFLECTOR:
        endpoint.reflector.tls = better(endpoint.reflector.tls, handshake, tls_kind(handshake))
        return
    address = endpoint.of(handshake)
    if handshake.contrast is Contrast.CLASSICAL_HELLO:
        address.classical = address.classical or tls_kind(handshake) is Kind.OK
        address.tls.every.append(handshake)
    elif handshake.contrast is Contrast.NO_VERIFY:
        address.looked_past.append(handshake)
    else:
        address.tls.add(handshake)


def _add_http(endpoint: EndpointView, exchange: HTTPExchange) -> None:
    if exchange.contrast is Contrast.REFLECTOR:
        endpoint.reflector.http = better(endpoint.reflector.http, exchange, http_kind(exchange))
        return
    address = endpoint.of(exchange)
    if exchange.contrast is Contrast.NO_VERIFY:
        address.unverified = better(address.unverified, exchange, http_kind(exchange))
    else:
        address.http.add(exchange)


def _add_quic(endpoint: EndpointView, handshake: QUICHandshake) -> None:
    if handshake.contrast is Contrast.REFLECTOR:
        endpoint.reflector.quic = better(endpoint.reflector.quic, handshake, quic_kind(handshake))
    else:
        endpoint.of(handshake).quic.add(handshake)


def _add_app(endpoint: EndpointView, exchange: AppExchange) -> None:
    if LIVENESS_HOST in exchange.evidence:
        endpoint.hosts_again.over_udp.append(exchange)
    elif exchange.contrast is Contrast.REFLECTOR:
        endpoint.reflector.app = better(endpoint.reflector.app, exchange, app_kind(exchange))
    else:
        endpoint.of(exchange).app.add(exchange)


def _add_transfer(endpoint: EndpointView, transfer: Transfer) -> None:
    if transfer.contrast is Contrast.REFLECTOR:
        endpoint.reflector.transfers.append(transfer)
    else:
        endpoint.of(transfer).transfers.append(transfer)


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
