# SPDX-License-Identifier: Apache-2.0
"""One name and query type at the vantage's own resolver: what is read, and the rules.

Signs that the answer is right come first: a valid certificate confirms an answer, so geographic DNS
is never an accusation. An answer that is only different accuses nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.detection.layers.app import spoke
from monitor.detection.layers.http import same_as_control
from monitor.detection.layers.tls import contrasted, leaf_of
from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.background import SENT_AGAIN, UNANSWERED, resent
from monitor.detection.observed.chance import nearly_as_long
from monitor.detection.observed.endpoint_context import EndpointContext, Reach, reach
from monitor.detection.observed.kinds import (
    CERTIFICATE_KINDS,
    DEATHS,
    Kind,
    dns_kind,
    http_kind,
    quic_kind,
    tls_kind,
)
from monitor.detection.observed.liveness import VantageStatus
from monitor.detection.observed.ranges import special_place
from monitor.detection.observed.view import ENCRYPTED, SYSTEM, AddressView, EndpointView
from monitor.detection.rule import Rule, background_fails
from probes.wire.observation import Contrast, DNSLookup
from probes.wire.protocol import Transport, protocol


@dataclass(frozen=True)
class LookupFacts:
    """One name and query type at the vantage's own resolver."""

    kind: Kind
    reach: Reach
    proven: bool = False
    """An answered address showed a certificate for the name that is valid but for its dates."""
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
    other_page: bool = False
    """In clear text every answered address gave another page than the control's, while a trusted
    address gave the control's here as well."""
    dead: bool = False
    """Every answered address failed, while a trusted one of its family worked from here."""
    by_name: bool = False
    """At the answered address other names pass, or our name dies elsewhere too: the path knows
    the name, so the address need not be wrong."""
    on_path: bool = False
    """A second, different reply came, here or from a public resolver that first gave the same
    wrong answer, or an address without DNS answered, or public resolvers over plain UDP give the
    same wrong answer, although not to a control or over TLS."""
    lying_resolver: bool = False
    """It answered, and others over plain UDP answer well, so it is the resolver itself."""
    injected: bool = False
    """The strict part of on_path: a second reply or an answer from a silent address."""
    below: bool = False
    """It gives the same address for a name below that does not exist, as another resolver says."""
    no_soa: bool = False
    """It says that the name has no address of the other family, where others see one, and leaves
    out the SOA record of the zone, which it gives with its denial of the name below."""
    untried: bool = False
    """None of its addresses was dialled, though they may be, but some of the other family were: a
    lean round dials one family. So no certificate could confirm it."""
    sibling: bool = False
    """The other query type of the same name was answered."""
    type_unanswered: bool = False
    """The resolver fails this query type in this way for the liveness names too, though it answers
    the other type: it fails every name so (RFC 4074)."""
    others: bool = False
    """The resolver answers for the liveness names."""
    limits: bool = False
    """At the same time the resolver failed an innocuous name as well, or answered it only when it
    was asked again, or as late as this one was waited for."""
    contradicted: bool = False
    """The resolver says of a liveness name that it does not exist and that it has an address, or
    of an innocuous one at one time that it has no address and at another that it has."""
    asked_again: bool = False
    """It was asked again from a fresh port."""
    unconfirmed: bool = False
    """It denied the name, was asked again, and gave no answer."""
    by_chance: bool = False
    """So many other names of the round failed at one attempt and not at another, or, for a missing
    answer, so many other flows died, that chance explains this as well."""
    authority: bool = False
    """An encrypted resolver, whose answers nobody on the path can forge, fails in the same way, and
    none gives an address: it is the name's own servers that answer so from here."""


def name_filtered(context: EndpointContext, address: AddressView) -> bool:
    """Whether the handshake at an address fails for our name only."""
    if address.tls is None or tls_kind(address.tls) not in DEATHS:
        return False
    return contrasted(context, address, address.tls).by_name


def needed_layer(endpoint: EndpointView) -> Layer:
    """The step that every address of an endpoint must pass to count as working: the handshake where
    a certificate proves the server, else the last step of its protocol."""
    known = protocol(endpoint.ref.protocol)
    return Layer.TLS if known.tls and known.transport is Transport.TCP else Layer(known.layer)


def works(address: AddressView, needed: Layer) -> bool:
    """Whether every step with the service's name passed here, the needed one included."""
    if needed is not Layer.TCP and not any(
        (address.tls, address.http, address.quic, address.app, address.proven)
    ):
        return False  # it was only connected to
    if address.tls is not None and not address.proven:
        return False
    if (
        address.http is not None
        and http_kind(address.http) is not Kind.OK
        and not address.http_repeated
    ):
        return False
    if address.app is not None:
        return spoke(address)
    return address.tcp_passed or address.proven


def lookup_facts(context: EndpointContext, qtype: str) -> LookupFacts:
    """Return the facts of one query type."""
    endpoint, lookup = context.endpoint, context.endpoint.lookups[qtype]
    kind = dns_kind(lookup)
    own = frozenset(lookup.answers) if kind is Kind.OK else frozenset()
    sibling = any(dns_kind(q) is Kind.OK for t, q in endpoint.lookups.items() if t != qtype)
    control = [_at_control(c, qtype, kind, sibling) for c in context.controls if qtype in c.lookups]
    addresses = [address for address in endpoint.addresses.values() if address.address in own]
    others = [
        address for address in endpoint.addresses.values() if address.address in context.known - own
    ]
    silent = any(q.qtype == qtype and q.replies for q in endpoint.silent)
    second = len(lookup.replies) > 1 and any(
        (reply.rcode, frozenset(reply.answers))
        != (lookup.replies[0].rcode, frozenset(lookup.replies[0].answers))
        for reply in lookup.replies[1:]
    )
    plain = [q for q in endpoint.references if q.qtype == qtype and q.transport not in ENCRYPTED]
    second = second or any(_lies_alike(q, kind, own) and _corrected(q) for q in plain)
    honest = any(dns_kind(q) is Kind.OK and not own.intersection(q.answers) for q in plain)
    dated = {a.address for a in addresses if a.tls is not None and tls_kind(a.tls) is Kind.DATES}
    proven, known = bool(own & (context.proven | dated)), bool(own & context.known)
    alike = any(
        _lies_alike(q, kind, own) and (kind is Kind.OK or _proven_false(context, q)) for q in plain
    )
    unanswered = context.vantage.unanswered
    type_unanswered = (qtype, kind) in unanswered
    others_known = honest or bool(context.known - own)
    trusted = {
        special_place(a) for a in context.known | context.proven
    } | context.vantage.special_places
    bogon = bool(own) and all(special_place(a) not in {None, *trusted} for a in own)
    return LookupFacts(
        kind=kind,
        reach=reach(kind, control),
        proven=proven,
        known=known,
        bogon=bogon,
        others_known=others_known,
        page=_page_of(context, lookup, own)
        or (_page_at(context, addresses) if others_known else None),
        foreign=any(map(_foreign, addresses)),
        other_page=_other_page(context, addresses, others),
        dead=_dead(addresses, others, context.vantage, needed_layer(endpoint)),
        by_name=any(name_filtered(context, address) for address in addresses)
        or _shown_elsewhere(endpoint, addresses, others),
        on_path=silent or second or (alike and not honest and not proven and not known),
        lying_resolver=not silent and not second and honest and kind is not Kind.TIMEOUT,
        injected=silent or second,
        below=_forged_below(endpoint, qtype, own),
        no_soa=_denied_without_soa(context, "AAAA" if qtype == "A" else "A"),
        untried=bool(own) and not bogon and not addresses and bool(endpoint.addresses),
        sibling=sibling,
        type_unanswered=type_unanswered,
        others=context.vantage.resolver_answers,
        limits=any(
            _failed_at_first(q)
            or (
                kind is Kind.TIMEOUT
                and nearly_as_long([q.took_us], (own.took_us for own in endpoint.queries[qtype]))
            )
            for q in endpoint.innocuous_lookups
            if (q.qtype, dns_kind(q)) not in unanswered
        ),
        contradicted=context.vantage.contradicts_itself or _contradicted(context.siblings),
        asked_again=qtype in endpoint.asked_again,
        unconfirmed=kind is Kind.NXDOMAIN and _silent_again(endpoint, qtype),
        by_chance=not (sibling or type_unanswered or silent or second)
        and context.lookup_by_chance(kind, qtype),
        authority=_authority(endpoint, kind, qtype),
    )


def _at_control(control: EndpointView, qtype: str, kind: Kind, sibling: bool) -> Kind:
    """How a control's lookup ended. A name that has addresses of the other family alone rightly
    gets none of this one: that is as good as an address, beside a forged one or beside a name that
    fails here as a whole."""
    found = dns_kind(control.lookups[qtype])
    other = any(dns_kind(q) is Kind.OK for t, q in control.lookups.items() if t != qtype)
    right = found is Kind.EMPTY and other and kind is not Kind.EMPTY
    return Kind.OK if right and (kind is Kind.OK or not sibling) else found


def _failed_at_first(lookup: DNSLookup) -> bool:
    return dns_kind(lookup) in UNANSWERED or resent(lookup)


def _contradicted(endpoints: Iterable[EndpointView]) -> bool:
    ends = {dns_kind(q) for endpoint in endpoints for q in endpoint.innocuous_lookups}
    return Kind.OK in ends and not ends.isdisjoint(_ABSENT)


def _silent_again(endpoint: EndpointView, qtype: str) -> bool:
    again = [q for q in endpoint.queries[qtype] if q.contrast is Contrast.REPEAT]
    return {dns_kind(q) for q in again} == {Kind.TIMEOUT}


def _authority(endpoint: EndpointView, kind: Kind, qtype: str) -> bool:
    seen = [
        dns_kind(q) for q in endpoint.references if q.qtype == qtype and q.transport in ENCRYPTED
    ]
    return kind in seen and Kind.OK not in seen


def _forged_below(endpoint: EndpointView, qtype: str, own: frozenset[str]) -> bool:
    below = [q for q in endpoint.below if q.qtype == qtype]
    given = any(q.resolver == SYSTEM and own.intersection(q.answers) for q in below)
    return given and any(q.resolver != SYSTEM and dns_kind(q) in _ABSENT for q in below)


def _denied_without_soa(context: EndpointContext, qtype: str) -> bool:
    """A denial that other resolvers gave carries the SOA record (RFC 2308, section 3); a resolver
    that makes up an answer of its own has none."""
    endpoint, lookup = context.endpoint, context.endpoint.lookups.get(qtype)
    if lookup is None or dns_kind(lookup) is not Kind.EMPTY or SOA in lookup.evidence:
        return False
    controls = [c.lookups[qtype] for c in context.controls if qtype in c.lookups]
    encrypted = [q for q in endpoint.references if q.transport in ENCRYPTED and q.qtype == qtype]
    return (
        (qtype, Kind.EMPTY) not in context.vantage.unanswered
        and any(dns_kind(q) is Kind.OK for q in (*controls, *encrypted))
        and any(q.resolver == SYSTEM and SOA in q.evidence for q in endpoint.below)
    )


def _foreign(address: AddressView) -> bool:
    """Someone else's certificate, or HTTP in place of TLS, in any handshake."""
    if address.proven:
        return False
    kinds = [tls_kind(seen) for seen in (address.tls, address.tls_beside) if seen is not None]
    kinds += [] if address.quic is None else [quic_kind(address.quic)]
    return any(kind in (*CERTIFICATE_KINDS, Kind.PLAIN_HTTP) for kind in kinds)


def _dead(
    own: list[AddressView], others: list[AddressView], here: VantageStatus, needed: Layer
) -> bool:
    """Every answered address that was tried fails, and a trusted one of the same family works from
    here; an address family that is broken here says nothing."""
    alive = [address for address in own if address.family in here.families]
    tried = [address for address in alive if not _untried(address)]
    families = {address.family for address in tried}
    working = any(works(address, needed) for address in others if address.family in families)
    return bool(tried) and working and not any(works(address, needed) for address in own)


def _other_page(
    context: EndpointContext, own: list[AddressView], others: list[AddressView]
) -> bool:
    pages = [same_as_control(context, address) for address in own if address.http is not None]
    trusted = any(same_as_control(context, address) for address in others)
    return bool(pages) and all(page is False for page in pages) and trusted


def _untried(address: AddressView) -> bool:
    """Whether it was only connected to, which shows nothing."""
    deeper = (address.tls, address.http, address.quic, address.app)
    return address.tcp_passed and not any(deeper)


def _shown_elsewhere(
    endpoint: EndpointView, addresses: Iterable[AddressView], others: Iterable[AddressView]
) -> bool:
    """Our own reflector, or an address that is right, shows the very certificate that the answered
    address shows: whoever forges it follows the name, or it is no forgery of addresses."""
    reflector = endpoint.reflector
    shown = set(map(leaf_of, others))
    if reflector is not None and reflector.chain:
        shown.add(reflector.chain[0].sha256)
    return any(leaf_of(each) in shown - {""} for each in addresses if not each.proven)


def _lies_alike(reference: DNSLookup, kind: Kind, own: frozenset[str]) -> bool:
    """Whether a public resolver over plain UDP or TCP gives the same wrong answer as our own.
    Missing answers are too common to count."""
    if kind is Kind.TIMEOUT or dns_kind(reference) is not kind:
        return False
    return kind is not Kind.OK or bool(own.intersection(reference.answers))


def _corrected(reference: DNSLookup) -> bool:
    """Whether a public resolver was asked once, seemed to give no address, and then gave one."""
    later = any(reply.rcode == 0 and reply.answers for reply in reference.replies[1:])
    return dns_kind(reference) is not Kind.OK and later and SENT_AGAIN not in reference.evidence


def _proven_false(context: EndpointContext, reference: DNSLookup) -> bool:
    """Whether a public resolver's answer over plain UDP or TCP was changed on the way: an encrypted
    resolver gives another one here, or the same resolver does to a control."""
    there = [q for control in context.controls for q in control.references]
    trusted = [
        q
        for q in (*context.endpoint.references, *there)
        if q.qtype == reference.qtype
        and (q.transport in ENCRYPTED or (q.resolver == reference.resolver and q in there))
    ]
    return any(
        dns_kind(q) is Kind.OK and not set(q.answers).intersection(reference.answers)
        for q in trusted
    )


def _page_of(context: EndpointContext, lookup: DNSLookup, own: frozenset[str]) -> str | None:
    """The fingerprint of one of the answer's addresses, or of a name that it is an alias of."""
    aliases = lookup.replies[0].cnames if own and lookup.replies else ()
    for text in (*sorted(own), *aliases):
        if (id := context.fingerprints.answer(text, context.country)) is not None:
            return id
    return None


def _page_at(context: EndpointContext, addresses: Iterable[AddressView]) -> str | None:
    for address in addresses:
        for exchange in (address.http_unverified, address.http):
            if exchange is not None and (id := context.page(exchange)) is not None:
                return id
    return None


SOA = "authority_soa"
"""Evidence of the probe: a reply without addresses carried the SOA record of a zone."""
_ABSENT = (Kind.NXDOMAIN, Kind.EMPTY)
_ANSWERED_BADLY = (Kind.NXDOMAIN, Kind.DNS_REFUSED, Kind.SERVFAIL, Kind.EMPTY)


CONFIRMED = ("dns.answer_proven", "dns.answer_known")
"""Rules by which somebody else than the resolver confirms its answer."""


def _unvouched(f: LookupFacts) -> bool:
    return f.kind is Kind.OK and not f.proven and not f.known


DNS_RULES: tuple[Rule[LookupFacts], ...] = (
    Rule(
        "dns.answer_proven",
        lambda f: f.proven,
        State.OK,
        "An answered address showed a certificate for the name that is valid, or was at another "
        "time (OONI: tls_consistent).",
    ),
    Rule(
        "dns.answer_known",
        lambda f: f.known,
        State.OK,
        "The control, or an encrypted resolver, gave one of these addresses too. This also covers "
        "names that give private addresses to everyone (OONI: bogon_in_ctrl).",
    ),
    Rule(
        "dns.no_record",
        lambda f: f.kind is Kind.EMPTY and (f.reach is Reach.SAME or f.sibling),
        State.DOWN,
        "No address of this family, for the control neither; or the other family is answered, as "
        "by home routers that filter AAAA.",
    ),
    Rule(
        "dns.failure_everywhere",
        lambda f: f.kind is not Kind.OK and f.reach is Reach.SAME,
        State.DOWN,
        "The control's resolver fails in the same way: the name no longer exists or its servers "
        "are down.",
    ),
    Rule(
        "dns.resolver_limits",
        lambda f: (
            not f.injected
            and (
                (f.limits and f.kind in UNANSWERED and not f.sibling)
                or (f.contradicted and f.kind in _ABSENT)
            )
        ),
        State.INCONCLUSIVE,
        "At the same time the resolver failed an innocuous name too or took nearly as long for it, "
        "or denied one of which it gives an address: it limits its queries, is slow or faulty.",
        evidence=("resolver_limits",),
    ),
    Rule(
        "dns.type_unanswered",
        lambda f: f.type_unanswered and not f.sibling,
        State.INCONCLUSIVE,
        "The resolver fails this query type in this way for every name: only the other type says "
        "anything of this one.",
    ),
    background_fails(Layer.DNS),
    Rule(
        "dns.authority_differs",
        lambda f: f.authority and f.kind in _ANSWERED_BADLY and not (f.injected or f.sibling),
        State.INCONCLUSIVE,
        "An encrypted resolver gives the same answer here, and the control gets another one: the "
        "name's own servers answer by country.",
        evidence=("by_authority",),
    ),
    Rule(
        "dns.bogon",
        lambda f: _unvouched(f) and f.bogon,
        State.BLOCKED,
        "The answer is an address that no public service can have. (fit: dns bogon +1.78)",
        Technique.DNS_INJECTION_BOGON,
        4_100_000,
    ),
    Rule(
        "dns.blockpage",
        lambda f: _unvouched(f) and f.page is not None,
        State.BLOCKED,
        "The answer leads to a known block page that no control sees. (typed)",
        Technique.DNS_INJECTION_BLOCKPAGE,
        4_700_000,
    ),
    Rule(
        "dns.injected",
        lambda f: _unvouched(f) and f.injected and not f.untried and not f.by_name,
        State.BLOCKED,
        "No certificate confirms the answer, and a second reply differed or an address that runs "
        "no DNS answered: it was forged on the path. (typed; GFWatch calls the latter zero-error)",
        Technique.DNS_INJECTION_OTHER,
        4_700_000,
    ),
    Rule(
        "dns.foreign_certificate",
        lambda f: _unvouched(f) and f.others_known and f.foreign and not f.by_name,
        State.BLOCKED,
        "The answered address, which no control sees, shows someone else's certificate. "
        "(fit: tls inconsistent, dns +1.61)",
        Technique.DNS_INJECTION_OTHER,
        3_700_000,
    ),
    Rule(
        "dns.other_page",
        lambda f: _unvouched(f) and f.other_page,
        State.BLOCKED,
        "The answered address, which no control sees, gives another page than the control's, and "
        "the control's address gives the control's page from here too. (fit: answer_unmatched and "
        "http diff)",
        Technique.DNS_INJECTION_OTHER,
        2_400_000,
    ),
    Rule(
        "dns.forged_below",
        lambda f: _unvouched(f) and f.below and f.others_known and not f.untried and not f.by_name,
        State.BLOCKED,
        "Nothing confirms the answer, and the resolver gives the same address for a name below it "
        "that does not exist: it answers by a list of names, and all below them. (typed)",
        Technique.DNS_INJECTION_OTHER,
        3_700_000,
    ),
    Rule(
        "dns.dead_answer",
        lambda f: _unvouched(f) and f.dead and (f.on_path or f.no_soa) and not f.by_name,
        State.BLOCKED,
        "The answered addresses, which no control sees, fail, while the control's addresses work "
        "from here; and public resolvers over plain UDP give the same answer, but not to a control "
        "or over TLS, or the resolver denies the other address family without a zone's SOA record, "
        "as no resolver does that had the denial from others. A resolver alone that gives it may "
        "know a server for this region that is down, or one that the service has left. (fit: "
        "answer_unmatched +0.58)",
        Technique.DNS_INJECTION_OTHER,
        1_300_000,
    ),
    Rule(
        "dns.answer_alone",
        lambda f: f.kind is Kind.OK and not f.others_known,
        State.OK,
        "There are no other addresses to compare with.",
    ),
    Rule(
        "dns.answer_unmatched",
        lambda f: f.kind is Kind.OK,
        State.OK,
        "Other addresses than the control's, with no sign that they are wrong: geographic DNS.",
        evidence=("dns_unproven",),
    ),
    Rule(
        "dns.nxdomain",
        lambda f: (
            f.kind is Kind.NXDOMAIN and not f.type_unanswered and (f.injected or not f.unconfirmed)
        ),
        State.BLOCKED,
        "The resolver says that the name does not exist. (fit: dns fail_ctrl_ok +1.61)",
        Technique.DNS_NXDOMAIN,
        3_700_000,
    ),
    Rule(
        "dns.asked_once",
        lambda f: (
            not (f.injected or f.sibling)
            and ((f.kind in UNANSWERED and not f.asked_again) or f.unconfirmed)
        ),
        State.INCONCLUSIVE,
        "The resolver was not asked again from a fresh port, or denied the name and then gave no "
        "answer: a table of connections that is full, one lost packet, or one stale server of "
        "several explains it as well.",
        evidence=("asked_once",),
    ),
    Rule(
        "dns.refused",
        lambda f: f.kind is Kind.DNS_REFUSED and not f.sibling,
        State.BLOCKED,
        "The resolver refuses this name and answers others. An access list of the resolver looks "
        "the same. (low to fit)",
        Technique.DNS_REFUSED,
        2_500_000,
    ),
    Rule(
        "dns.other_family_answered",
        lambda f: f.sibling,
        State.OK,
        "Only one query type fails: not with NXDOMAIN, or with NXDOMAIN for every name. Some "
        "middleboxes mishandle AAAA.",
        evidence=("one_family_unanswered",),
    ),
    Rule(
        "dns.servfail",
        lambda f: f.kind is Kind.SERVFAIL,
        State.BLOCKED,
        "Server failure for this name only. Broken DNSSEC and geoblocking look the same: 19 % of "
        "failures in Satellite's CN data (low)",
        Technique.DNS_SERVFAIL,
        700_000,
    ),
    Rule(
        "dns.empty",
        lambda f: f.kind is Kind.EMPTY,
        State.BLOCKED,
        "An answer without addresses, where the control gets some. (fit, halved: retired records)",
        Technique.DNS_EMPTY,
        1_900_000,
    ),
    Rule(
        "dns.timeout",
        lambda f: f.kind is Kind.TIMEOUT and f.others,
        State.BLOCKED,
        "No answer for this name, also from a fresh port, while the resolver answered every "
        "liveness name. Loss of UDP packets looks the same. (low)",
        Technique.DNS_TIMEOUT,
        500_000,
    ),
    Rule(
        "dns.unclear",
        lambda _: True,
        State.INCONCLUSIVE,
        "The lookup failed in a way that packet loss or a fault of the resolver explains as well.",
    ),
)
