# SPDX-License-Identifier: Apache-2.0
"""The status of a vantage: whether it was online, and whether something changes every connection.

The endpoints that the liveness measurement lists are counted, not those observed: an endpoint
without observations has not passed. Only the international scope can show that the vantage works.
So missing liveness observations never make a vantage look better.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from monitor.detection.fingerprints import redirect_host
from monitor.detection.model import Layer
from monitor.detection.observed.background import NO_BACKGROUND, RoundBackground, background
from monitor.detection.observed.certificate import ShownBy, shown_by
from monitor.detection.observed.kinds import (
    CERTIFICATE_KINDS,
    Kind,
    dns_kind,
    tcp_kind,
    tls_kind,
)
from monitor.detection.observed.ranges import special_place
from monitor.detection.observed.view import AddressPort, AddressView, EndpointView, view
from probes.wire.measurement import LIVENESS_DOMESTIC, LIVENESS_INTERNATIONAL, Measurement
from probes.wire.protocol import Transport, protocol

CLOCK_TOLERANCE_MS = 3_600_000
"""With a larger offset rounds are joined wrongly and new certificates look invalid."""
_OFFLINE = (Kind.TIMEOUT, Kind.RESET, Kind.UNREACHABLE, Kind.LOCAL)
"""How hosts that were reached before end together where the line is down, or refuses everything."""
LEAST_SILENT = 2
LEAST_PAGES = 2
"""Hosts that nobody blocks and in whose place somebody answers in clear text; one may be blocked
after all."""
LEAST_FAILED = 2
"""Names that nobody blocks and that a resolver fails alike; one may be blocked after all."""


class Passage(msgspec.Struct, frozen=True, gc=False):
    """Over what liveness hosts were reached: what is out of order elsewhere is not the service."""

    families: frozenset[int] = frozenset()
    """Address families."""
    udp: frozenset[tuple[int, int]] = frozenset()
    """Address families and ports over which a host answered by UDP."""
    tcp: frozenset[tuple[int, int]] = frozenset()
    """Address families and ports over which one accepted a connection."""
    special_places: frozenset[str] = frozenset()
    """Special ranges: in laboratories, and behind tunnels that answer every name with an address of
    their own (198.18.0.0/15)."""


class ResolverStatus(msgspec.Struct, frozen=True, gc=False):
    """How the system resolver treats the names of liveness hosts."""

    answers: bool = False
    """It answered for every name."""
    dead: bool = False
    """It was asked and answered for none."""
    unanswered: frozenset[tuple[str, Kind]] = frozenset()
    """Query types that it answers for no name, though it answers the other type, each with how it
    fails them."""
    contradicts_itself: bool = False
    """It says that a name does not exist and gives an address of it. It may fail a query type for
    every name, but a name that has an address exists (RFC 8020)."""
    fails_alike: frozenset[Kind] = frozenset()
    """How it fails several names whatever is asked of them, though it answers others: as one that
    checks signatures by a wrong clock, or that does not reach the servers of many zones."""


NO_PASSAGE, SILENT_RESOLVER = Passage(), ResolverStatus()
"""Where no liveness host was measured."""


@dataclass(frozen=True)
class VantageStatus:
    """What the liveness hosts show about a vantage."""

    international: bool | None = None
    """Most international hosts passed; None when they were not measured."""
    domestic: bool | None = None
    background: RoundBackground = NO_BACKGROUND
    """How often others fail in the same round."""
    passage: Passage = NO_PASSAGE
    resolver: ResolverStatus = SILENT_RESOLVER
    intercepted: bool = False
    """Half or more of the handshakes with liveness hosts show someone else's certificate."""
    shown_by: frozenset[ShownBy] = frozenset()
    """Who showed liveness hosts' names a certificate that is not theirs, be it at one host."""
    portal: bool = False
    """A liveness host answered by a foreign redirect, by a sign-in page or by HTTP in TLS."""
    portal_for_several: bool = False
    """So did several: the page is not in place of a blocked one. Others may have passed, as with
    two uplinks of which one wants a sign-in."""
    clock_wrong: bool = False
    """The clock is far off, or half or more of the liveness certificates are outside their
    dates."""
    went_offline: bool = False
    """Hosts that liveness had reached were silent while the target's addresses were."""

    @property
    def online(self) -> bool:
        """Whether international hosts were reachable."""
        return self.international is True


@dataclass(frozen=True)
class Hosts:
    """The liveness hosts of both scopes, except those over UDP: who else could be reached."""

    passed: int = 0
    """Hosts that completed their protocol."""
    failed: tuple[str, ...] = ()
    """Endpoint ids of those that did not."""


def hosts_by_scope(liveness: Sequence[Measurement]) -> dict[str, list[EndpointView]]:
    """What these liveness measurements (of one probe and round) show of each host, by target."""
    by_scope: dict[str, list[EndpointView]] = {}
    for measurement in liveness:
        if measurement.target in (LIVENESS_INTERNATIONAL, LIVENESS_DOMESTIC):
            by_scope.setdefault(measurement.target, []).extend(view(measurement).values())
    return by_scope


def is_online(liveness: Sequence[Measurement]) -> bool:
    """`VantageStatus.online` of these liveness measurements (of one probe and round) alone."""
    return _most(hosts_by_scope(liveness).get(LIVENESS_INTERNATIONAL)) is True


def hosts_reached(by_scope: Mapping[str, Sequence[EndpointView]]) -> Hosts:
    """Which of the liveness hosts were reached."""
    reached = {
        host.ref.id: _passed(host) for scope in by_scope.values() for host in _over_tcp(scope)
    }
    failed = sorted(id for id, passed in reached.items() if not passed)
    return Hosts(len(reached) - len(failed), tuple(failed))


def vantage_status(
    liveness: Sequence[Measurement], by_scope: Mapping[str, list[EndpointView]] | None = None
) -> VantageStatus:
    """Return the status that these liveness measurements (of one probe and round) show.
    `by_scope`: their `hosts_by_scope`, where it is known."""
    if by_scope is None:
        by_scope = hosts_by_scope(liveness)
    everywhere = [host for scope in by_scope.values() for host in scope]
    hosts = by_scope.get(LIVENESS_INTERNATIONAL, [])
    addresses = _addresses(hosts)
    portals = [any(map(_portal, _addresses([host]))) for host in everywhere]
    return VantageStatus(
        international=_most(by_scope.get(LIVENESS_INTERNATIONAL)),
        domestic=_most(by_scope.get(LIVENESS_DOMESTIC)),
        background=background(liveness),
        passage=_passage(addresses),
        resolver=_resolver(hosts, everywhere),
        intercepted=_most_show(CERTIFICATE_KINDS, addresses),
        shown_by=_strangers(_addresses(everywhere)),
        portal=any(portals),
        portal_for_several=sum(portals) >= LEAST_PAGES,
        clock_wrong=_most_show({Kind.DATES}, addresses)
        or any(clock_off(m) for m in liveness if m.target == LIVENESS_INTERNATIONAL),
    )


def _addresses(hosts: Iterable[EndpointView]) -> list[AddressView]:
    return [address for host in hosts for address in host.addresses.values()]


def _passage(addresses: Iterable[AddressView]) -> Passage:
    reached = [address for address in addresses if _passed_here(address)]
    places = {special_place(address.address) for address in reached}
    return Passage(
        families=frozenset(address.family for address in reached),
        udp=frozenset(
            (address.family, address.port)
            for address in addresses
            if address.app.subject is not None
            and address.app.subject.transport == "udp"
            and address.app.passed
        ),
        tcp=frozenset(
            (address.family, address.port) for address in addresses if address.tcp.passed
        ),
        special_places=frozenset(place for place in places if place is not None),
    )


def _resolver(hosts: Iterable[EndpointView], everywhere: Iterable[EndpointView]) -> ResolverStatus:
    """By the names of `hosts`; a contradiction counts at any host."""
    named = [host for host in hosts if host.ref.host]
    resolved = [any(dns_kind(q) is Kind.OK for q in host.name.lookups.values()) for host in named]
    unanswered = _unanswered(named)
    return ResolverStatus(
        answers=bool(resolved) and all(resolved),
        dead=any(host.name.lookups for host in named) and not any(resolved),
        unanswered=unanswered,
        contradicts_itself=any(_denied(host, unanswered) for host in everywhere),
        fails_alike=_failed_alike(everywhere) if any(resolved) else frozenset(),
    )


def _most_show(kinds: Container[Kind], addresses: Sequence[AddressView]) -> bool:
    """Whether as many handshakes ended in one of these ways as showed a valid certificate."""
    shown = sum(not address.proven and address.tls.kind in kinds for address in addresses)
    return shown > 0 and shown >= sum(address.proven for address in addresses)


def _strangers(addresses: Iterable[AddressView]) -> frozenset[ShownBy]:
    """Who showed a certificate that is not the host's."""
    return frozenset(
        shown_by(handshake.chain)
        for address in addresses
        if (handshake := address.tls.subject) is not None
        and tls_kind(handshake) in CERTIFICATE_KINDS
        and not address.proven
    )


def control_view(control: Measurement, status: VantageStatus) -> dict[str, EndpointView]:
    """What a control that is online saw, without the addresses of a family that does not work
    there: it has not tried them, whatever its machine said."""
    views = view(control)
    for endpoint in views.values():
        endpoint.addresses = _of_families(endpoint.addresses, status)
        endpoint.handed_over = _of_families(endpoint.handed_over, status)
    return views


def _of_families(
    addresses: Mapping[AddressPort, AddressView], status: VantageStatus
) -> dict[AddressPort, AddressView]:
    return {
        key: address
        for key, address in addresses.items()
        if address.family in status.passage.families or _passed_here(address)
    }


def beside(here: VantageStatus, round_: RoundBackground) -> VantageStatus:
    """The status for one measurement, with the background of the round: the liveness hosts and the
    targets beside the one that is judged."""
    return replace(here, background=round_)


def during(
    here: VantageStatus, subject: Measurement, views: Iterable[EndpointView]
) -> VantageStatus:
    """The status during one measurement: its own clock offset counts as well, and so do the hosts
    that it reached again, or did not. One that is silent may be lost by chance."""
    again = [tcp_kind(host) for endpoint in views for host in endpoint.hosts_again.over_tcp]
    offline = len(again) >= LEAST_SILENT and any(set(again) == {kind} for kind in _OFFLINE)
    if not offline and not clock_off(subject):
        return here
    return replace(here, went_offline=offline, clock_wrong=here.clock_wrong or clock_off(subject))


def clock_off(measurement: Measurement) -> bool:
    """Whether the probe's clock was far off during a measurement."""
    offset = measurement.clock_offset_ms
    return offset is not None and abs(offset) > CLOCK_TOLERANCE_MS


def _most(listed: list[EndpointView] | None) -> bool | None:
    """Whether most hosts passed. Hosts measured over UDP do not count: they show whether UDP
    passes."""
    hosts = _over_tcp(listed or ())
    if not hosts:
        return None
    return sum(map(_passed, hosts)) * 2 > len(hosts)


def _unanswered(named: Sequence[EndpointView]) -> frozenset[tuple[str, Kind]]:
    """The query types that no name is answered. A reply may be lost; other than that the resolver
    has to fail them all alike."""
    ends: dict[str, set[Kind]] = {}
    for host in named:
        kinds = {qtype: dns_kind(lookup) for qtype, lookup in host.name.lookups.items()}
        if Kind.OK in kinds.values():
            for qtype, kind in kinds.items():
                ends.setdefault(qtype, set()).add(kind)
    replied = {qtype: kinds - {Kind.TIMEOUT} or kinds for qtype, kinds in ends.items()}
    return frozenset(
        (qtype, kind)
        for qtype, kinds in replied.items()
        for kind in kinds
        if len(kinds) == 1 and kind is not Kind.OK
    )


def _denied(host: EndpointView, unanswered: frozenset[tuple[str, Kind]]) -> bool:
    """Whether the resolver says that a name does not exist, and that it has an address; be it to
    the same question, asked again."""
    kinds = {(qtype, dns_kind(q)) for qtype, asked in host.name.queries.items() for q in asked}
    denied = {(t, kind) for t, kind in kinds if kind is Kind.NXDOMAIN} - unanswered
    return bool(denied) and any(kind is Kind.OK for _, kind in kinds)


def _failed_alike(everywhere: Iterable[EndpointView]) -> frozenset[Kind]:
    """How several names end to every question."""
    ends: dict[str, set[Kind]] = {}
    for host in everywhere:
        for asked in host.name.queries.values():
            ends.setdefault(host.ref.host, set()).update(map(dns_kind, asked))
    alike = Counter(kind for kinds in ends.values() if len(kinds) == 1 for kind in kinds)
    return frozenset(k for k, names in alike.items() if names >= LEAST_FAILED and k is not Kind.OK)


def _over_tcp(hosts: Sequence[EndpointView]) -> list[EndpointView]:
    return [host for host in hosts if protocol(host.ref.protocol).layer != Layer.UDP]


def _passed(host: EndpointView) -> bool:
    """Whether the host completed its protocol at one address at least."""
    known, addresses = protocol(host.ref.protocol), host.addresses.values()
    if known.transport is Transport.NONE:
        return any(dns_kind(lookup) is Kind.OK for lookup in host.name.lookups.values())
    match Layer(known.layer):
        case Layer.TLS | Layer.QUIC:
            return any(address.proven for address in addresses)
        case Layer.HTTP:
            return any(
                (address.proven or not known.tls) and _answered(address) for address in addresses
            )
        case Layer.APP:
            return any(address.app.passed for address in addresses)
        case _:
            return any(address.tcp.passed for address in addresses)


def _passed_here(address: AddressView) -> bool:
    return address.tcp.passed or address.proven or address.app.passed or _answered(address)


def _answered(address: AddressView) -> bool:
    return address.http.kind is Kind.OK and not _portal(address)


def _portal(address: AddressView) -> bool:
    """Whether a captive portal answered in place of the host."""
    if not address.proven and address.tls.kind is Kind.PLAIN_HTTP:
        return True
    answer = address.http.subject
    if answer is None or answer.tls or answer.status is None:
        return False
    if answer.status == 511:  # Network Authentication Required, RFC 6585
        return True
    if 300 <= answer.status < 400 and answer.location:
        return foreign_host(redirect_host(answer.location), answer.host)
    return False


_SECOND_LEVEL = frozenset(
    ("ac", "co", "com", "edu", "go", "gob", "gouv", "gov", "ne", "net", "or", "org")
)
"""Labels below a country's domain under which names are registered (co.uk, com.br, or.jp)."""


def foreign_host(other: str, host: str) -> bool:
    """Whether a redirect leaves the site, which is identified by the last two labels, or by its
    registered label: services have the same one under the domains of several countries.

    With public suffixes that are not known here some foreign hosts are missed, but no related host
    is accused.
    """
    if not other:
        return False
    host = host.lower().rstrip(".")
    if other.split(".")[-2:] == host.split(".")[-2:]:
        return False
    return _registered_label(other) != _registered_label(host)


def _registered_label(host: str) -> str:
    """The label before the public suffix."""
    labels = host.split(".")[:-1]
    if len(labels) > 1 and labels[-1] in _SECOND_LEVEL:
        labels.pop()
    return labels[-1] if labels else host
