"""What the rules of each layer read: one flat value per lookup or per address.

Here the vantage's view, its liveness and the control's view are laid side by side. Still no
judgement: every field says what was seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from monitor.detection import fingerprints
from monitor.detection.kinds import (
    CERTIFICATE_KINDS,
    DEATHS,
    Kind,
    dns_kind,
    http_kind,
    reached,
    tcp_kind,
    tls_kind,
)
from monitor.detection.liveness import Standing, foreign_host
from monitor.detection.ranges import special_range
from monitor.detection.view import ENCRYPTED, AddressView, EndpointView, answers, proven
from probes.wire.observation import DNSLookup, HTTPExchange


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
class LookupFacts:
    """One name and query type at the vantage's own resolver."""

    kind: Kind
    reach: Reach
    attempts: int = 1
    proven: bool = False
    """An answered address showed a valid certificate for the name."""
    known: bool = False
    """An answered address is one that a control saw, or the vantage's encrypted resolver."""
    bogon: bool = False
    """Every answer lies in a special range in which no trusted answer lies."""
    others_known: bool = False
    """A control, an encrypted resolver or a public one gives other addresses for the name."""
    page: str | None = None
    """Fingerprint of the block page that an answered address showed, with others_known, or is
    known for."""
    foreign: bool = False
    """An answered address showed someone else's certificate, or HTTP in place of TLS."""
    dead: bool = False
    """Every answered address failed while a trusted one of its family, dialled from here, worked."""
    by_name: bool = False
    """At the answered address other names pass, or our name dies elsewhere too: the path knows
    the name, so the address need not be wrong."""
    on_path: bool = False
    """A second, different reply came, or an address without DNS answered, or public resolvers
    over plain UDP lie as well."""
    lying_resolver: bool = False
    """Others over plain UDP answer well, so it is the resolver itself."""
    injected: bool = False
    """The strict part of on_path: a second reply or an answer from a silent address."""
    sibling: bool = False
    """The other query type of the same name was answered."""
    others: bool = False
    """The resolver answers for the liveness names."""


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
        """The square says: this address, whatever the name."""
        return self.innocuous is not None and not self.by_name


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


def beside(
    endpoint: EndpointView,
    siblings: Sequence[EndpointView],
    controls: Sequence[EndpointView],
    standing: Standing,
) -> Beside:
    """Collect what is known of an endpoint's addresses."""
    known: set[str] = set()
    for control in controls:
        known |= answers(control.lookups.values()) | answers(control.references)
        known |= {place.address for place in control.places.values() if place.tcp_passed}
    known |= answers(q for q in endpoint.references if q.transport in ENCRYPTED)
    shown = proven(siblings, endpoint.ref.host)
    return Beside(endpoint, siblings, controls, standing, frozenset(known), shown)


def name_filtered(place: AddressView, endpoint: EndpointView) -> bool:
    """The handshake at an address dies for our name only."""
    if place.tls is None or (kind := tls_kind(place.tls)) not in DEATHS:
        return False
    return TLSFacts(
        kind,
        Reach.UNKNOWN,
        innocuous=tls_kind(place.tls_innocuous) if place.tls_innocuous else None,
        reflector=tls_kind(endpoint.reflector) if endpoint.reflector else None,
    ).by_name


def works(place: AddressView) -> bool:
    """Every step tried with the service's name passed here."""
    if place.tls is not None and not place.proven:
        return False
    if place.http is not None and http_kind(place.http) is not Kind.OK and not place.http_repeated:
        return False
    return place.tcp_passed or place.proven


def lookup_facts(case: Beside, qtype: str) -> LookupFacts:
    """Return the facts of one query type."""
    endpoint, lookup = case.endpoint, case.endpoint.lookups[qtype]
    kind = dns_kind(lookup)
    own = frozenset(lookup.answers) if kind is Kind.OK else frozenset()
    control = [dns_kind(c.lookups[qtype]) for c in case.controls if qtype in c.lookups]
    places = [place for place in endpoint.places.values() if place.address in own]
    others = [place for place in endpoint.places.values() if place.address in case.known - own]
    silent = any(q.qtype == qtype and q.replies for q in endpoint.silent)
    second = len(lookup.replies) > 1 and any(
        (reply.rcode, frozenset(reply.answers))
        != (lookup.replies[0].rcode, frozenset(lookup.replies[0].answers))
        for reply in lookup.replies[1:]
    )
    plain = [q for q in endpoint.references if q.qtype == qtype and q.transport not in ENCRYPTED]
    honest = any(dns_kind(q) is Kind.OK and not own.intersection(q.answers) for q in plain)
    alike = any(_lies_alike(q, kind, own) for q in plain)
    others_known = honest or bool(case.known - own)
    trusted = {special_range(a) for a in case.known | case.proven}
    return LookupFacts(
        kind=kind,
        reach=reach(kind, control),
        attempts=endpoint.attempts.get(qtype, 1),
        proven=bool(own & case.proven),
        known=bool(own & case.known),
        bogon=bool(own) and all(special_range(a) not in {None, *trusted} for a in own),
        others_known=others_known,
        page=_page_of(own) or (_page_at(places) if others_known else None),
        foreign=any(
            p.tls is not None
            and not p.proven
            and tls_kind(p.tls) in (*CERTIFICATE_KINDS, Kind.PLAIN_HTTP)
            for p in places
        ),
        dead=_dead(places, others, case.standing),
        by_name=any(name_filtered(place, endpoint) for place in places)
        or _follows_name(endpoint, places),
        on_path=silent or second or (alike and not honest),
        lying_resolver=not silent and not second and honest,
        injected=silent or second,
        sibling=any(dns_kind(q) is Kind.OK for t, q in endpoint.lookups.items() if t != qtype),
        others=case.standing.resolver_answers,
    )


def _dead(own: list[AddressView], others: list[AddressView], here: Standing) -> bool:
    """Every answered address fails, and a trusted one of the same family works from here; an
    address family that is broken here says nothing."""
    tried = [place for place in own if place.family in here.families]
    families = {place.family for place in tried}
    working = any(works(place) for place in others if place.family in families)
    return bool(tried) and not any(map(works, own)) and working


def _follows_name(endpoint: EndpointView, places: Iterable[AddressView]) -> bool:
    """Our own reflector shows the very certificate that the answered address shows: whoever
    forges it follows the name, not the address."""
    if endpoint.reflector is None or not endpoint.reflector.chain:
        return False
    leaf = endpoint.reflector.chain[0].sha256
    return any(p.tls and p.tls.chain and p.tls.chain[0].sha256 == leaf for p in places)


def _lies_alike(reference: DNSLookup, kind: Kind, own: frozenset[str]) -> bool:
    """A public resolver over plain UDP or TCP says what our own resolver says. Silence is too
    common to count."""
    if kind is Kind.TIMEOUT or dns_kind(reference) is not kind:
        return False
    return kind is not Kind.OK or bool(own.intersection(reference.answers))


def _page_of(own: frozenset[str]) -> str | None:
    return next((id for a in sorted(own) if (id := fingerprints.address(a)) is not None), None)


def _page_at(places: Iterable[AddressView]) -> str | None:
    for place in places:
        for exchange in (place.http_unverified, place.http):
            if exchange is not None and (id := fingerprints.page(exchange)) is not None:
                return id
    return None


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
        classical=place.tls_classical,
        accused=accused,
        innocuous=tls_kind(place.tls_innocuous) if place.tls_innocuous else None,
        reflector=tls_kind(case.endpoint.reflector) if case.endpoint.reflector else None,
        same_leaf=bool(leaf)
        and any(p.tls.chain[0].sha256 == leaf for p in seen if p.tls and p.tls.chain),
        system_root="system_root" in place.tls.evidence,
        page=fingerprints.page(place.http_unverified) if place.http_unverified else None,
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
        page=fingerprints.page(answer),
        foreign_redirect=_redirects_away(answer),
        same_answer=any(_same(answer, c) for c in good),
        other_answer=bool(good) and all(_differs(answer, c) for c in good),
        innocuous=http_kind(place.http_innocuous) if place.http_innocuous else None,
    )


def _there(case: Beside, place: AddressView) -> list[AddressView]:
    """The same address and port as controls saw it."""
    key = (place.address, place.port)
    return [control.places[key] for control in case.controls if key in control.places]


def _redirects_away(answer: HTTPExchange) -> bool:
    if not (answer.status and 300 <= answer.status < 400 and answer.location):
        return False
    return foreign_host(fingerprints.redirect_host(answer.location), answer.host)


def _same(answer: HTTPExchange, control: HTTPExchange) -> bool:
    if answer.status != control.status:
        return False
    if fingerprints.page(answer) != fingerprints.page(control):
        return False
    return fingerprints.redirect_host(answer.location or "") == fingerprints.redirect_host(
        control.location or ""
    )


def _differs(answer: HTTPExchange, control: HTTPExchange) -> bool:
    if answer.status == control.status:
        return False
    return not (answer.title and control.title and answer.title == control.title)
