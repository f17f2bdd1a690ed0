# SPDX-License-Identifier: Apache-2.0
"""What an endpoint is compared with: the other endpoints of its measurement, the vantage's liveness
results, and the same endpoint as controls saw it. No judgement here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

import msgspec

from monitor.detection.fingerprints import ANYWHERE, OWN, Fingerprints
from monitor.detection.observed.background import resent
from monitor.detection.observed.kinds import Kind, app_kind, dns_kind, http_kind, tls_kind
from monitor.detection.observed.line import line_unseen
from monitor.detection.observed.liveness import VantageStatus
from monitor.detection.observed.ranges import family
from monitor.detection.observed.view import (
    ENCRYPTED,
    AddressPort,
    AddressView,
    EndpointView,
    answers,
    proven,
)
from probes.wire.observation import HTTPExchange, Observation, TLSHandshake

AFTER_TRIGGER = "after_trigger"
"""Evidence of an innocuous name: the service's name had failed here shortly before."""


class Reach(Enum):
    """How the control fared at the same step of the same endpoint."""

    PASSED = "passed"
    SAME = "same"
    """It failed in the same way."""
    EARLIER = "earlier"
    """It did not get as far: it found no address for the name, or none that it could connect to."""
    DIFFERENT = "different"
    """It failed in another way."""
    UNKNOWN = "unknown"
    """No control that is online saw it."""

    @property
    def fails_too(self) -> bool:
        """The service does not work for the control either."""
        return self in (Reach.SAME, Reach.EARLIER)


def reach(kind: Kind, control: Iterable[Kind | None]) -> Reach:
    """Compare a failure with what controls saw (None where they saw nothing); one that passed is
    enough."""
    kinds = set(control) - {None, Kind.LATE}
    if not kinds:
        return Reach.UNKNOWN
    if Kind.OK in kinds:
        return Reach.PASSED
    return Reach.SAME if kind in kinds else Reach.DIFFERENT


class StepFacts(msgspec.Struct, frozen=True, kw_only=True):
    """How one step at one address ended, and how the control fared at this step."""

    kind: Kind
    reach: Reach
    here: bool = False
    """The control passed this step at this very address."""
    repeated: bool = False
    """A repeat from a fresh port passed, or a later step was taken, which needs this one."""
    by_chance: bool = False
    """The background of the round explains such failures as well."""
    line_unseen: bool = False
    """It got no answer, and nothing shows that the line was there while it was waited for."""


@dataclass(frozen=True)
class EndpointContext:
    """One endpoint, and what it is compared with."""

    endpoint: EndpointView
    siblings: Sequence[EndpointView]
    """All endpoints of the same measurement."""
    controls: Sequence[EndpointView]
    """The same endpoint as controls saw it."""
    vantage: VantageStatus
    known: frozenset[str]
    """Addresses that a control or an encrypted resolver gave for this name."""
    proven: frozenset[str]
    """Addresses that showed a valid certificate for this name."""
    controls_beside: Sequence[EndpointView] = ()
    """The target's other endpoints as controls saw them."""
    country: str = ""
    """Where the vantage is: some fingerprints are valid in some countries only."""
    fingerprints: Fingerprints = OWN

    def page(self, exchange: HTTPExchange) -> str | None:
        """The id of the known block page that an answer is in this country; else None."""
        return self.fingerprints.page(exchange, self.country)

    def page_abroad(self, exchange: HTTPExchange) -> str | None:
        """The same for a page that is known from another country only."""
        here = self.page(exchange)
        return self.fingerprints.page(exchange, ANYWHERE) if here is None else None

    @property
    def control_addresses(self) -> list[AddressView]:
        """Every address of the endpoint that a control's own resolvers gave."""
        return [address for control in self.controls for address in control.addresses.values()]

    def at_controls(self, address: AddressView) -> list[AddressView]:
        """The same address and port as controls saw it, be it handed over to them."""
        key = (address.address, address.port)
        return [
            views[key]
            for control in self.controls
            for views in (control.addresses, control.handed_over)
            if key in views
        ]

    def compared(self, address: AddressView, proof: bool = False) -> list[AddressView]:
        """What an address is compared with where no control tried it: the addresses of its family
        that controls tried, and with `proof`, when the sign itself shows interference, all."""
        return [p for p in self.control_addresses if proof or p.family == address.family]

    def unseen(self, address: AddressView) -> bool:
        """Whether controls tried other addresses alone, and were never given this one. It may be a
        server for this region, whose troubles nobody elsewhere sees."""
        given = (
            answers(c.name.lookups.values()) | answers(c.name.references) for c in self.controls
        )
        return (
            bool(self.control_addresses)
            and not self.at_controls(address)
            and not any(address.address in answered for answered in given)
        )

    def reach(self, kind: Kind, control: Iterable[Kind | None]) -> Reach:
        """Compare a failure at an address with what controls saw there. Where none of them tried
        this step, it counts how far they got."""
        compared = reach(kind, control)
        if compared is not Reach.UNKNOWN:
            return compared
        ends = {_end(view) for view in self.controls if view.seen}
        if not ends:
            return Reach.UNKNOWN
        return next((r for r in (Reach.UNKNOWN, Reach.DIFFERENT) if r in ends), Reach.EARLIER)

    def control_fails(self, kind: Kind, attempts: Callable[[AddressView], Iterable[Kind]]) -> bool:
        """Whether an attempt of a control ended in this way at any address, or at one of another
        endpoint of the target that is reached here: then the servers do this at times."""
        reached = {
            key
            for endpoint in self.siblings
            for key, address in endpoint.addresses.items()
            if Kind.OK in attempts(address)
        }
        beside = (
            address
            for control in self.controls_beside
            for key, address in control.addresses.items()
            if key in reached
        )
        return any(kind in attempts(address) for address in (*self.control_addresses, *beside))

    def any_name_at_times(
        self,
        kind: Kind,
        ours: Callable[[AddressView], Iterable[Kind]],
        innocuous: Callable[[AddressView], Iterable[Kind]],
    ) -> bool:
        """Whether an innocuous name ends in this way at an address of the endpoint at which ours
        passes at times: then the server or the path does so to any name."""
        return any(
            Kind.OK in ours(address) and kind in innocuous(address)
            for address in self.endpoint.addresses.values()
        )

    def reflector_fails(
        self,
        at: AddressPort,
        ours: Callable[[EndpointView], bool],
        innocuous: Callable[[AddressView], bool | None],
    ) -> bool:
        """Whether our own host passed no handshake of the measurement, one with an innocuous name
        included: it is down, full or not reachable, so that our name failed there too says nothing.
        False where no innocuous name was shown to it (over TLS, probes before rules 13).

        `ours`: whether our name passed there; `innocuous`: whether another did, None when it was
        not shown."""
        views = (endpoint.addresses.get(at) for endpoint in self.siblings)
        shown = {innocuous(view) for view in views if view is not None} - {None}
        return shown == {False} and not any(map(ours, self.siblings))

    def udp_at_times(self, address: AddressView) -> bool:
        """Whether hosts that had answered over UDP were asked again while the target was, and each
        request or its answer was lost: the line passes few datagrams, or at times none. Hosts of
        the other address family count where none of this one was asked."""
        every = [host for endpoint in self.siblings for host in endpoint.hosts_again.over_udp]
        again = [host for host in every if family(host.address) == address.family] or every
        return bool(again) and all(app_kind(host) is not Kind.OK or resent(host) for host in again)

    def line_unseen(self, over: int | None, silent: Iterable[Observation]) -> bool:
        """As `line.line_unseen`: whether the line may have been away while attempts over an address
        family were silent."""
        return line_unseen(self.siblings, silent, over)

    @property
    def unlisted_at_reflector(self) -> list[TLSHandshake]:
        """Handshakes with other names at our own host."""
        ours = self.endpoint.reflector.tls
        at = () if ours is None else ((ours.address, ours.port),)
        there = (endpoint.addresses.get(place) for endpoint in self.siblings for place in at)
        return [handshake for view in there if view for handshake in view.tls.every_innocuous]

    @property
    def anyone_answers(self) -> bool:
        """Whether somebody answers in clear text at our own host, which serves no pages, or in
        place of several innocuous hosts: then a page at an address is not the address's own."""
        page = self.endpoint.reflector.http
        return (
            self.vantage.portal_for_several
            or (page is not None and http_kind(page) is Kind.OK)
            or any(tls_kind(shown) is Kind.PLAIN_HTTP for shown in self.unlisted_at_reflector)
        )

    def family_dead(self, address: AddressView) -> bool:
        """Whether no liveness host was reached over the address family."""
        return self.vantage.international is not None and (
            address.family not in self.vantage.passage.families
        )


def _end(control: EndpointView) -> Reach:
    """Whether a control ended before it reached a server; UNKNOWN when it did not end there."""
    tried = [address for address in control.addresses.values() if address.seen]
    if any(not a.tcp.tried or a.tcp.passed for a in tried):
        return Reach.UNKNOWN
    if tried:
        return Reach.EARLIER
    kinds = {dns_kind(lookup) for lookup in control.name.lookups.values()}
    if Kind.OK in kinds:
        return Reach.UNKNOWN
    return Reach.EARLIER if kinds <= {Kind.NXDOMAIN, Kind.EMPTY} else Reach.DIFFERENT


def endpoint_context(
    endpoint: EndpointView,
    siblings: Sequence[EndpointView],
    controls: Sequence[EndpointView],
    vantage: VantageStatus,
    country: str = "",
    fingerprints: Fingerprints = OWN,
    controls_beside: Sequence[EndpointView] = (),
) -> EndpointContext:
    """Collect what is known of an endpoint's addresses."""
    known: set[str] = set()
    for control in controls:
        known |= answers(control.name.lookups.values()) | answers(control.name.references)
        known |= {address.address for address in control.addresses.values() if address.tcp.passed}
        known |= {address.address for address in control.handed_over.values() if address.proven}
    known |= answers(q for q in endpoint.name.references if q.transport in ENCRYPTED)
    shown = proven(siblings, endpoint.ref.host)
    return EndpointContext(
        endpoint,
        siblings,
        controls,
        vantage,
        frozenset(known),
        shown,
        controls_beside,
        country,
        fingerprints,
    )
