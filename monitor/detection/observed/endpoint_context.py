# SPDX-License-Identifier: Apache-2.0
"""What an endpoint is compared with: the other endpoints of its measurement, the vantage's liveness
results, and the same endpoint as controls saw it. No judgement here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from monitor.detection.fingerprints import ANYWHERE, OWN, Fingerprints
from monitor.detection.observed.kinds import Kind, dns_kind
from monitor.detection.observed.liveness import VantageStatus
from monitor.detection.observed.view import ENCRYPTED, AddressView, EndpointView, answers, proven
from probes.wire.observation import HTTPExchange

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


def reach(kind: Kind, control: Iterable[Kind], passed: Iterable[Kind] = (Kind.OK,)) -> Reach:
    """Compare a failure with what controls saw; one that passed is enough."""
    seen = set(control)
    if not seen:
        return Reach.UNKNOWN
    if seen & set(passed):
        return Reach.PASSED
    return Reach.SAME if kind in seen else Reach.DIFFERENT


@dataclass(frozen=True)
class StepFacts:
    """How one step at one address ended, and how the control fared at this step."""

    kind: Kind
    reach: Reach
    here: bool = False
    """The control passed this step at this very address."""
    repeated: bool = False
    """A repeat from a fresh port passed, or a later step was taken, which needs this one."""
    troubled: bool = field(default=False, kw_only=True)
    """Other connections of this vantage die at random in this round."""
    cut: bool = field(default=False, kw_only=True)
    """They are reset or closed at random."""


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
        """Every address of the endpoint that a control saw."""
        return [address for control in self.controls for address in control.addresses.values()]

    def at_controls(self, address: AddressView) -> list[AddressView]:
        """The same address and port as controls saw it."""
        key = (address.address, address.port)
        return [control.addresses[key] for control in self.controls if key in control.addresses]

    def compared(self, address: AddressView, proof: bool = False) -> list[AddressView]:
        """What an address is compared with where no control tried it: the addresses of its family
        that controls tried, and with `proof`, when the sign itself shows interference, all."""
        return [p for p in self.control_addresses if proof or p.family == address.family]

    def reach(self, kind: Kind, control: Iterable[Kind]) -> Reach:
        """Compare a failure at an address with what controls saw there. Where none of them tried
        this step, it counts how far they got."""
        found = reach(kind, control)
        if found is not Reach.UNKNOWN or not any(each.seen for each in self.controls):
            return found
        ends = {_end(each) for each in self.controls if each.seen}
        return next((r for r in (Reach.UNKNOWN, Reach.DIFFERENT) if r in ends), Reach.EARLIER)

    def control_fails(self, kind: Kind, attempts: Callable[[AddressView], Iterable[Kind]]) -> bool:
        """Whether an attempt of a control ended in this way at any address: then the server does
        this at times."""
        return any(kind in attempts(address) for address in self.control_addresses)

    def family_dead(self, address: AddressView) -> bool:
        """Whether no liveness host was reached over the address family."""
        return self.vantage.international is not None and (
            address.family not in self.vantage.families
        )


def _end(control: EndpointView) -> Reach:
    """Whether a control ended before it reached a server; UNKNOWN when it did not end there."""
    tried = [address for address in control.addresses.values() if address.seen]
    if any(a.tcp is None or a.tcp_passed for a in tried):
        return Reach.UNKNOWN
    if tried:
        return Reach.EARLIER
    kinds = {dns_kind(lookup) for lookup in control.lookups.values()}
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
) -> EndpointContext:
    """Collect what is known of an endpoint's addresses."""
    known: set[str] = set()
    for control in controls:
        known |= answers(control.lookups.values()) | answers(control.references)
        known |= {address.address for address in control.addresses.values() if address.tcp_passed}
    known |= answers(q for q in endpoint.references if q.transport in ENCRYPTED)
    shown = proven(siblings, endpoint.ref.host)
    return EndpointContext(
        endpoint, siblings, controls, vantage, frozenset(known), shown, country, fingerprints
    )
