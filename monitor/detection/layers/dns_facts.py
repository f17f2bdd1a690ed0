# SPDX-License-Identifier: Apache-2.0
"""What the rules of DNS read: one name and query type, and what became of its answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.detection.facts.kinds import (
    CERTIFICATE_KINDS,
    DEATHS,
    Kind,
    dns_kind,
    http_kind,
    quic_kind,
    tls_kind,
)
from monitor.detection.facts.liveness import Standing
from monitor.detection.facts.ranges import special_place
from monitor.detection.facts.tcp_tls_http import Beside, Reach, TLSFacts, reach
from monitor.detection.facts.view import ENCRYPTED, AddressView, EndpointView
from monitor.detection.layers.app_facts import spoke
from probes.wire.observation import DNSLookup


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
    """Every answer lies in a special range in which no trusted answer and no liveness host lies."""
    others_known: bool = False
    """A control, an encrypted resolver or a public one gives other addresses for the name."""
    page: str | None = None
    """Fingerprint of the block page that an answered address showed, with others_known, or is
    known for."""
    foreign: bool = False
    """An answered address showed someone else's certificate, or HTTP in place of TLS."""
    dead: bool = False
    """Every answered address failed, while a trusted one of its family worked from here."""
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
    limits: bool = False
    """At the same time the resolver failed an innocuous name in the same way."""
    authority: bool = False
    """An encrypted resolver, which nobody on the path can answer for, fails in the same way, and
    none gives an address: it is the name's own servers that answer so from here."""

    @property
    def excused(self) -> bool:
        """Nobody needs to have lied."""
        return self.limits or self.authority


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
    if place.app is not None:
        return spoke(place)
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
    trusted = {special_place(a) for a in case.known | case.proven} | case.standing.special_places
    return LookupFacts(
        kind=kind,
        reach=reach(kind, control),
        attempts=endpoint.attempts.get(qtype, 1),
        proven=bool(own & case.proven),
        known=bool(own & case.known),
        bogon=bool(own) and all(special_place(a) not in {None, *trusted} for a in own),
        others_known=others_known,
        page=_page_of(case, lookup, own) or (_page_at(case, places) if others_known else None),
        foreign=any(map(_foreign, places)),
        dead=_dead(places, others, case.standing),
        by_name=any(name_filtered(place, endpoint) for place in places)
        or _follows_name(endpoint, places),
        on_path=silent or second or (alike and not honest),
        lying_resolver=not silent and not second and honest,
        injected=silent or second,
        sibling=any(dns_kind(q) is Kind.OK for t, q in endpoint.lookups.items() if t != qtype),
        others=case.standing.resolver_answers,
        limits=any(dns_kind(q) is kind for q in endpoint.innocuous_lookups),
        authority=_authority(endpoint, kind, qtype),
    )


def _authority(endpoint: EndpointView, kind: Kind, qtype: str) -> bool:
    seen = [
        dns_kind(q) for q in endpoint.references if q.qtype == qtype and q.transport in ENCRYPTED
    ]
    return kind in seen and Kind.OK not in seen


def _foreign(place: AddressView) -> bool:
    """Someone else's certificate, or HTTP in place of TLS, by whatever handshake."""
    if place.proven:
        return False
    kinds = [tls_kind(seen) for seen in (place.tls, place.tls_beside) if seen is not None]
    kinds += [] if place.quic is None else [quic_kind(place.quic)]
    return any(kind in (*CERTIFICATE_KINDS, Kind.PLAIN_HTTP) for kind in kinds)


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


def _page_of(case: Beside, lookup: DNSLookup, own: frozenset[str]) -> str | None:
    """What the answer is known for: one of its addresses, or a name that it is an alias of."""
    aliases = lookup.replies[0].cnames if own and lookup.replies else ()
    for text in (*sorted(own), *aliases):
        if (id := case.fingerprints.answer(text, case.country)) is not None:
            return id
    return None


def _page_at(case: Beside, places: Iterable[AddressView]) -> str | None:
    for place in places:
        for exchange in (place.http_unverified, place.http):
            if exchange is not None and (id := case.page(exchange)) is not None:
                return id
    return None
