# SPDX-License-Identifier: Apache-2.0
"""What the rules of TCP, TLS and HTTP read: one flat value per address.

Here the vantage's view, its liveness and the control's view are laid side by side. Still no
judgement: every field says what was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from monitor.detection.facts.flows import harmless_passes, share_dies
from monitor.detection.facts.kinds import DEATHS, Kind, http_kind, reached, tcp_kind, tls_kind
from monitor.detection.facts.liveness import Standing, foreign_host
from monitor.detection.facts.view import ENCRYPTED, AddressView, EndpointView, answers, proven
from monitor.detection.fingerprints import OWN, Fingerprints, redirect_host
from probes.wire.observation import Contrast, HTTPExchange

_AFTER_TRIGGER = "after_trigger"
_CUT = (Kind.RESET, Kind.TIMEOUT, Kind.PROHIBITED, Kind.UNREACHABLE)


class Reach(Enum):
    """How the control fared at the same step of the same endpoint."""

    PASSED = "passed"
    SAME = "same"
    """It failed in the same way."""
    DIFFERENT = "different"
    """It failed in another way."""
    UNKNOWN = "unknown"
    """No control that is online saw it."""


def reach(kind: Kind, control: Iterable[Kind], passed: Iterable[Kind] = (Kind.OK,)) -> Reach:
    """Compare a failure with what controls saw; one that passed is enough."""
    seen = set(control)
    if not seen:
        return Reach.UNKNOWN
    if seen & set(passed):
        return Reach.PASSED
    return Reach.SAME if kind in seen else Reach.DIFFERENT


@dataclass(frozen=True)
class TCPFacts:
    """One address, as far as TCP goes."""

    kind: Kind
    reach: Reach
    here: bool = False
    """The control reached this very address."""
    repeated: bool = False
    """A repeat connected, or a later step was taken here, which needs a connection."""
    family_dead: bool = False
    """No liveness host was reached over this address family."""
    accused: bool = False
    """The DNS answer that gave this address is itself judged forged."""
    icmp: tuple[str, ...] = ()
    some_flows: bool = False
    """Half or more of several connections failed so, and others came about."""


@dataclass(frozen=True)
class TLSFacts:
    """One address, as far as TLS goes."""

    kind: Kind
    reach: Reach
    here: bool = False
    repeated: bool = False
    classical: bool = False
    accused: bool = False
    innocuous: Kind | None = None
    reflector: Kind | None = None
    same_leaf: bool = False
    """The control was shown the very same certificate."""
    system_root: bool = False
    page: str | None = None
    tainted: bool = False
    """The innocuous name was shown after ours: a censor that goes on blocking the pair of addresses
    for minutes kills it as well."""
    some_flows: bool = False
    """Half or more of several handshakes died so, others passed, and an innocuous name did always;
    the control saw none die."""

    @property
    def innocuous_passes(self) -> bool:
        """Another name to the same address gets further than ours."""
        kind = self.innocuous
        return kind is not None and (reached(kind) or (kind is Kind.ALERT and self.kind != kind))

    @property
    def reflector_dies(self) -> bool:
        """Our name dies on the way to our own host in the same way."""
        return self.reflector is not None and self.reflector is self.kind

    @property
    def by_name(self) -> bool:
        """The SNI square says: filtered by name."""
        return self.innocuous_passes or self.reflector_dies

    @property
    def whatever_name(self) -> bool:
        """The square says: this address, whatever the name. When the innocuous name came second,
        only with ours passing elsewhere."""
        passes_elsewhere = self.reflector is not None and reached(self.reflector)
        told = self.innocuous is not None and not self.by_name
        return told and (passes_elsewhere or not self.tainted)

    @property
    def residual_possible(self) -> bool:
        """What looks like the address may be the name, minutes long."""
        return self.tainted and self.innocuous is not None and not self.by_name


@dataclass(frozen=True)
class HTTPFacts:
    """One address, as far as HTTP goes."""

    kind: Kind
    reach: Reach
    here: bool = False
    repeated: bool = False
    accused: bool = False
    tls: bool = False
    """The answer came over TLS with a valid certificate: it is the service's own."""
    status: int = 0
    page: str | None = None
    foreign_redirect: bool = False
    same_answer: bool = False
    """A control got the same status (and the same redirect host, and no block page)."""
    other_answer: bool = False
    """A control got an answer, but another one: another status and, where both have one,
    another title."""
    innocuous: Kind | None = None
    some_flows: bool = False
    """As with handshakes: half or more of several requests died so."""


@dataclass(frozen=True)
class Beside:
    """One endpoint with what it is judged beside."""

    endpoint: EndpointView
    siblings: Sequence[EndpointView]
    """All endpoints of the same measurement."""
    controls: Sequence[EndpointView]
    """The same endpoint as controls saw it."""
    standing: Standing
    known: frozenset[str]
    """Addresses that a control or an encrypted resolver gave for this name."""
    proven: frozenset[str]
    country: str = ""
    """Where the vantage is: some fingerprints count in some countries only."""
    fingerprints: Fingerprints = OWN

    def page(self, exchange: HTTPExchange) -> str | None:
        """Id of the known block page that an answer is, here; else None."""
        return self.fingerprints.page(exchange, self.country)


def beside(
    endpoint: EndpointView,
    siblings: Sequence[EndpointView],
    controls: Sequence[EndpointView],
    standing: Standing,
    country: str = "",
    fingerprints: Fingerprints = OWN,
) -> Beside:
    """Collect what is known of an endpoint's addresses."""
    known: set[str] = set()
    for control in controls:
        known |= answers(control.lookups.values()) | answers(control.references)
        known |= {place.address for place in control.places.values() if place.tcp_passed}
    known |= answers(q for q in endpoint.references if q.transport in ENCRYPTED)
    shown = proven(siblings, endpoint.ref.host)
    return Beside(
        endpoint, siblings, controls, standing, frozenset(known), shown, country, fingerprints
    )


def tcp_facts(case: Beside, place: AddressView, accused: bool) -> TCPFacts | None:
    """Return the facts of TCP at one address; None when it was not tried."""
    if place.tcp is None:
        return None
    kind = tcp_kind(place.tcp)
    here = [tcp_kind(p.tcp) for p in _there(case, place) if p.tcp is not None]
    seen = here or [
        tcp_kind(p.tcp) for c in case.controls for p in c.places.values() if p.tcp is not None
    ]
    icmp = place.tcp.icmp_type
    return TCPFacts(
        kind=kind,
        reach=reach(kind, seen),
        here=Kind.OK in here,
        repeated=place.tcp_repeated or place.tls is not None or place.http is not None,
        family_dead=case.standing.international is not None
        and place.family not in case.standing.families,
        accused=accused,
        icmp=()
        if icmp is None
        else (
            f"icmp:{icmp}/{place.tcp.icmp_code}",
            *((f"icmp_from:{place.tcp.icmp_from}",) if place.tcp.icmp_from else ()),
        ),
        some_flows=kind in _CUT
        and share_dies(kind, map(tcp_kind, place.connects))
        and not _dies_there(kind, case, lambda p: map(tcp_kind, p.connects)),
    )


def tls_facts(case: Beside, place: AddressView, accused: bool) -> TLSFacts | None:
    """Return the facts of TLS at one address; None when it was not tried."""
    if place.tls is None:
        return None
    kind = tls_kind(place.tls)
    here = [p for p in _there(case, place) if p.tls is not None]
    seen = here or [p for c in case.controls for p in c.places.values() if p.tls is not None]
    kinds = [Kind.OK if p.proven else tls_kind(p.tls) for p in seen if p.tls is not None]
    leaf = place.tls.chain[0].sha256 if place.tls.chain else ""
    return TLSFacts(
        kind=kind,
        reach=reach(kind, kinds),
        here=any(p.proven for p in here),
        repeated=place.tls_repeated or (place.http is not None and place.http.tls),
        classical=place.tls_classical or _classical_elsewhere(case, place),
        accused=accused,
        innocuous=tls_kind(place.tls_innocuous) if place.tls_innocuous else None,
        reflector=tls_kind(case.endpoint.reflector) if case.endpoint.reflector else None,
        same_leaf=bool(leaf)
        and any(p.tls.chain[0].sha256 == leaf for p in seen if p.tls and p.tls.chain),
        system_root="system_root" in place.tls.evidence,
        page=case.page(place.http_unverified) if place.http_unverified else None,
        tainted=_tainted(place),
        some_flows=kind in DEATHS
        and share_dies(kind, map(tls_kind, place.handshakes))
        and harmless_passes(kind, [tls_kind(each) for each in place.innocuous_handshakes])
        and not _dies_there(kind, case, lambda p: map(tls_kind, p.handshakes)),
    )


def http_facts(case: Beside, place: AddressView, accused: bool) -> HTTPFacts | None:
    """Return the facts of HTTP at one address; None when it was not tried."""
    answer = place.http
    if answer is None:
        return None
    kind = http_kind(answer)
    here = [p.http for p in _there(case, place) if p.http is not None]
    seen = here or [p.http for c in case.controls for p in c.places.values() if p.http is not None]
    good = [c for c in seen if http_kind(c) is Kind.OK]
    return HTTPFacts(
        kind=kind,
        reach=reach(kind, map(http_kind, seen)),
        here=any(http_kind(c) is Kind.OK for c in here),
        repeated=place.http_repeated,
        accused=accused,
        tls=answer.tls and place.proven,
        status=answer.status or 0,
        # Over TLS that proved itself the page is the service's own, whatever it says.
        page=None if answer.tls and place.proven else case.page(answer),
        foreign_redirect=_redirects_away(answer),
        same_answer=any(_same(case, answer, c) for c in good),
        other_answer=bool(good) and all(_differs(answer, c) for c in good),
        innocuous=http_kind(place.http_innocuous) if place.http_innocuous else None,
        some_flows=not answer.tls
        and kind in DEATHS
        and share_dies(kind, map(http_kind, place.exchanges))
        and harmless_passes(kind, [http_kind(each) for each in place.innocuous_exchanges])
        and not _dies_there(kind, case, lambda p: map(http_kind, p.exchanges)),
    )


def _classical_elsewhere(case: Beside, place: AddressView) -> bool:
    """The smaller hello was not tried here, and passed at another address of the endpoint."""
    tried = any(each.contrast is Contrast.CLASSICAL_HELLO for each in place.handshakes)
    return not tried and any(other.tls_classical for other in case.endpoint.places.values())


def _tainted(place: AddressView) -> bool:
    """Our name had been shown at this address before the innocuous one was."""
    if place.tls is None or place.tls_innocuous is None:
        return False
    first = min(shaken.at_us for shaken in place.handshakes)
    return place.tls_innocuous.at_us > first or _AFTER_TRIGGER in place.tls_innocuous.evidence


def _dies_there(kind: Kind, case: Beside, tries: Callable[[AddressView], Iterable[Kind]]) -> bool:
    """A control met the same death anywhere: then it is the server that is moody."""
    places = (place for control in case.controls for place in control.places.values())
    return any(kind in tries(place) for place in places)


def _there(case: Beside, place: AddressView) -> list[AddressView]:
    """The same address and port as controls saw it."""
    key = (place.address, place.port)
    return [control.places[key] for control in case.controls if key in control.places]


def _redirects_away(answer: HTTPExchange) -> bool:
    if not (answer.status and 300 <= answer.status < 400 and answer.location):
        return False
    return foreign_host(redirect_host(answer.location), answer.host)


def _same(case: Beside, answer: HTTPExchange, control: HTTPExchange) -> bool:
    if answer.status != control.status:
        return False
    if case.page(answer) != case.page(control):
        return False
    return redirect_host(answer.location or "") == redirect_host(control.location or "")


def _differs(answer: HTTPExchange, control: HTTPExchange) -> bool:
    if answer.status == control.status:
        return False
    return not (answer.title and control.title and answer.title == control.title)
