# SPDX-License-Identifier: Apache-2.0
"""Signs that an answer was forged, and by whom: on the path, or by the resolver itself."""

from __future__ import annotations

import msgspec

from monitor.detection.layers.dns_answer import (
    DNSAnswer,
    answered_otherwise,
    given_addresses,
    plain_references,
)
from monitor.detection.observed.background import SENT_AGAIN
from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import Kind, dns_kind
from monitor.detection.observed.view import ENCRYPTED, SYSTEM, EndpointView, NameView
from probes.wire.observation import DNSLookup

SOA = "authority_soa"
"""Evidence of the probe: a reply without addresses carried the SOA record of a zone."""
ABSENT = (Kind.NXDOMAIN, Kind.EMPTY)
"""How a resolver denies a name, or its addresses of one family."""


class Forgery(msgspec.Struct, frozen=True, gc=False):
    """Signs that an answer was forged."""

    on_path: bool = False
    """It was injected, or public resolvers over plain UDP give the same wrong answer, although not
    to a control or over TLS."""
    injected: bool = False
    """A second, different reply came, here or from a public resolver that first gave the same wrong
    answer, or an address without DNS answered, and for no innocuous name."""
    led: bool = False
    """An address without DNS answers for this name and for an innocuous one: the network leads
    every query to one resolver, which answers in place of the public ones, right or wrong."""
    lying_resolver: bool = False
    """The resolver answered, and others over plain UDP answer well, so it is the resolver
    itself."""
    below: bool = False
    """It gives the same address for a name below that does not exist, as another resolver says; or
    any, and none for a name that nobody forbids and that does not exist either."""
    no_soa: bool = False
    """It says that the name has no address of the other family, where others see one, and leaves
    out the SOA record of the zone, which it gives with its denial of the name below."""
    zone_kept: bool = False
    """It denies the name below as the zone's servers do, with the SOA record, and of the other
    family it gives a right address or the same denial: this answer may be one that they gave
    once."""

    @property
    def changed(self) -> bool:
        """Somebody on the path changed it, who is no resolver to which every query is led: that one
        may pass on what it was told."""
        return self.injected or (self.on_path and not self.led)


NOT_FORGED = Forgery()


def forgery_of(context: EndpointContext, lookup: DNSLookup, answer: DNSAnswer) -> Forgery:
    """Return the signs that the answer of a lookup was forged."""
    endpoint, qtype, own = context.endpoint, lookup.qtype, given_addresses(lookup)
    plain = plain_references(endpoint, qtype)
    honest = answered_otherwise(plain, own)
    alike = [reference for reference in plain if _lies_alike(reference, lookup)]
    spoken_for, led = _at_silence(endpoint.name, qtype)
    second = _replied_otherwise(lookup) or any(map(_corrected, alike))
    injected = second or (spoken_for and not led)
    confirmed = honest or answer.proven or answer.known
    false = bool(alike) if own else any(_proven_false(context, q) for q in alike)
    other = "AAAA" if qtype == "A" else "A"
    return Forgery(
        on_path=injected or led or (false and not confirmed),
        injected=injected,
        led=led,
        lying_resolver=not (injected or led) and honest and dns_kind(lookup) is not Kind.TIMEOUT,
        below=_forged_below(endpoint, qtype, own),
        no_soa=_denied_without_soa(context, other),
        zone_kept=_keeps_zone(context, other),
    )


def _at_silence(name: NameView, qtype: str) -> tuple[bool, bool]:
    """Whether an address that runs no DNS answers for the name, and whether for others as well."""
    answers = any(query.qtype == qtype and query.replies for query in name.silent)
    return answers, answers and any(query.replies for query in name.silent_usually)


def _replied_otherwise(lookup: DNSLookup) -> bool:
    """Whether a later reply differs from the first."""
    replies = {(reply.rcode, frozenset(reply.answers)) for reply in lookup.replies}
    return len(replies) > 1


def _lies_alike(reference: DNSLookup, lookup: DNSLookup) -> bool:
    """Whether a public resolver over plain UDP or TCP gives the same wrong answer as our own.
    Missing answers are too common to count."""
    kind = dns_kind(lookup)
    if kind is Kind.TIMEOUT or dns_kind(reference) is not kind:
        return False
    return kind is not Kind.OK or not given_addresses(lookup).isdisjoint(reference.answers)


def _corrected(reference: DNSLookup) -> bool:
    """Whether a public resolver was asked once, seemed to give no address, and then gave one."""
    later = any(reply.rcode == 0 and reply.answers for reply in reference.replies[1:])
    return dns_kind(reference) is not Kind.OK and later and SENT_AGAIN not in reference.evidence


def _proven_false(context: EndpointContext, reference: DNSLookup) -> bool:
    """Whether a public resolver's answer over plain UDP or TCP was changed on the way: an encrypted
    resolver gives another one here, or the same resolver does to a control."""
    there = [q for control in context.controls for q in control.name.references]
    trusted = [
        q
        for q in (*context.endpoint.name.references, *there)
        if q.qtype == reference.qtype
        and (q.transport in ENCRYPTED or (q.resolver == reference.resolver and q in there))
    ]
    return answered_otherwise(trusted, frozenset(reference.answers))


def _forged_below(endpoint: EndpointView, qtype: str, own: frozenset[str]) -> bool:
    below, usual = below_and_usual(endpoint)
    asked = [query for query in endpoint.name.below if query.qtype == qtype]
    same = any(q.resolver == SYSTEM and own.intersection(q.answers) for q in asked)
    another = bool(own) and any(q.qtype == qtype and q.answers for q in below)
    given = same or (another and any(dns_kind(q) in ABSENT for q in usual))
    return given and any(q.resolver != SYSTEM and dns_kind(q) in ABSENT for q in asked)


def below_and_usual(endpoint: EndpointView) -> tuple[list[DNSLookup], list[DNSLookup]]:
    """What the vantage's own resolver was asked of a name below the endpoint's that should not
    exist, and of one below an innocuous name."""
    asked = [query for query in endpoint.name.below if query.resolver == SYSTEM]
    below = [query for query in asked if query.name.endswith(f".{endpoint.ref.host}")]
    return below, [query for query in asked if query not in below]


def _keeps_zone(context: EndpointContext, other: str) -> bool:
    """`other`: the query type of the other address family."""
    below, _ = below_and_usual(context.endpoint)
    lookup = context.endpoint.name.lookups.get(other)
    if lookup is None or not below:
        return False
    right = given_addresses(lookup) & (context.known | context.proven)
    return all(dns_kind(q) in ABSENT and SOA in q.evidence for q in below) and (
        bool(right) or (dns_kind(lookup) is Kind.EMPTY and SOA in lookup.evidence)
    )


def _denied_without_soa(context: EndpointContext, qtype: str) -> bool:
    """A denial that other resolvers gave carries the SOA record (RFC 2308, section 3); a resolver
    that makes up an answer of its own has none."""
    name = context.endpoint.name
    lookup = name.lookups.get(qtype)
    if lookup is None or dns_kind(lookup) is not Kind.EMPTY or SOA in lookup.evidence:
        return False
    controls = [c.name.lookups[qtype] for c in context.controls if qtype in c.name.lookups]
    encrypted = [q for q in name.references if q.transport in ENCRYPTED and q.qtype == qtype]
    return (
        (qtype, Kind.EMPTY) not in context.vantage.resolver.unanswered
        and any(dns_kind(q) is Kind.OK for q in (*controls, *encrypted))
        and any(q.resolver == SYSTEM and SOA in q.evidence for q in name.below)
    )
