# SPDX-License-Identifier: Apache-2.0
"""One name and query type at the vantage's own resolver: what is read, and the rules.

Signs that the answer is right come first: a valid certificate confirms an answer, so geographic DNS
is never an accusation. An answer that is only different accuses nobody.
"""

from __future__ import annotations

import msgspec

from monitor.detection.layers.dns_answer import (
    NO_ANSWER,
    DNSAnswer,
    answer_of,
    given_addresses,
)
from monitor.detection.layers.dns_forgery import (
    ABSENT,
    NOT_FORGED,
    Forgery,
    below_and_usual,
    forgery_of,
)
from monitor.detection.layers.dns_origin import FAULTS
from monitor.detection.layers.dns_resolver import HEALTHY, ResolverHealth, resolver_health
from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.background import UNANSWERED
from monitor.detection.observed.by_chance import lookup_by_chance
from monitor.detection.observed.endpoint_context import EndpointContext, Reach, reach
from monitor.detection.observed.kinds import Kind, dns_kind
from monitor.detection.observed.view import ENCRYPTED, NameView
from monitor.detection.rule import Rule, background_fails, line_unseen, machine_late
from probes.wire.observation import PLAIN_PAYLOAD, Contrast, DNSLookup

FOREIGN_CERTIFICATE = "dns.foreign_certificate"


class LookupFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One name and query type at the vantage's own resolver."""

    kind: Kind
    reach: Reach
    answer: DNSAnswer = NO_ANSWER
    forgery: Forgery = NOT_FORGED
    resolver: ResolverHealth = HEALTHY
    sibling: bool = False
    """The other query type of the same name was answered."""
    asked_again: bool = False
    """It was asked again from a fresh port."""
    unconfirmed: bool = False
    """It denied the name, was asked again, and gave no answer."""
    by_authority: bool = False
    """An encrypted resolver, whose answers nobody on the path can forge, fails in the same way, and
    none gives an address: it is the name's own servers that answer so from here."""
    unchecked_right: bool = False
    """It gives a right address once it is asked not to check signatures."""
    lost_by_size: bool = False
    """It answers for a name below, so the name is not filtered with all below it, and the answer
    that others get for this one is larger than every way to a resolver lets pass."""
    reports_fault: bool = False
    """The resolver says of each failure that the zone's signatures or its servers fail."""
    by_chance: bool = False
    """So many other names of the round failed at one attempt and not at another, or, for a missing
    answer, so many other flows died, that chance explains this as well."""
    line_unseen: bool = False
    """No answer, and nothing shows that the line was there meanwhile: a resolver at home answers
    for other names from its memory."""

    @property
    def unvouched(self) -> bool:
        """It gave addresses, and nothing confirms any of them."""
        answer = self.answer
        return self.kind is Kind.OK and not (answer.proven or answer.known or answer.serves)


def lookup_facts(context: EndpointContext, qtype: str) -> LookupFacts:
    """Return the facts of one query type."""
    name = context.endpoint.name
    lookup = name.lookups[qtype]
    kind = dns_kind(lookup)
    sibling = _other_type_answered(name, qtype)
    controls = [c.name for c in context.controls if qtype in c.name.lookups]
    answer = answer_of(context, lookup)
    forgery = forgery_of(context, lookup, answer)
    resolver = resolver_health(context, lookup)
    return LookupFacts(
        kind=kind,
        reach=reach(kind, (_at_control(control, qtype, kind, sibling) for control in controls)),
        answer=answer,
        forgery=forgery,
        resolver=resolver,
        sibling=sibling,
        asked_again=qtype in name.asked_again,
        unconfirmed=kind is Kind.NXDOMAIN and _silent_again(name, qtype),
        by_authority=_by_authority(name, kind, qtype),
        unchecked_right=any(
            not given_addresses(q).isdisjoint(context.known | context.proven)
            for q in name.unchecked
        ),
        lost_by_size=_lost_by_size(context, qtype),
        reports_fault=all(not set(FAULTS).isdisjoint(q.evidence) for q in name.queries[qtype]),
        by_chance=not (sibling or resolver.type_unanswered or forgery.injected)
        and lookup_by_chance(context, kind, qtype),
        line_unseen=kind is Kind.TIMEOUT
        and not sibling
        and context.line_unseen(None, _unanswered(name, qtype)),
    )


def _other_type_answered(name: NameView, qtype: str) -> bool:
    return any(dns_kind(q) is Kind.OK for other, q in name.lookups.items() if other != qtype)


def _at_control(control: NameView, qtype: str, kind: Kind, sibling: bool) -> Kind:
    """How a control's lookup ended. A name that has addresses of the other family alone rightly
    gets none of this one: that is as good as an address, beside a forged one or beside a name that
    fails here as a whole."""
    there = dns_kind(control.lookups[qtype])
    right = there is Kind.EMPTY and kind is not there and _other_type_answered(control, qtype)
    return Kind.OK if right and (kind is Kind.OK or not sibling) else there


def _silent_again(name: NameView, qtype: str) -> bool:
    again = {dns_kind(q) for q in name.queries[qtype] if q.contrast is Contrast.REPEAT}
    return again == {Kind.TIMEOUT}


def _unanswered(name: NameView, qtype: str) -> list[DNSLookup]:
    return [q for q in name.queries[qtype] if dns_kind(q) in (Kind.TIMEOUT, Kind.LATE)]


def _lost_by_size(context: EndpointContext, qtype: str) -> bool:
    """RFC 9715: fragments, and datagrams over 512 bytes in places, are dropped; a resolver that
    forwards asks its own question, and may lose the answer to that."""
    below, _ = below_and_usual(context.endpoint)
    names = (context.endpoint.name, *(control.name for control in context.controls))
    theirs = [q for name in names for q in name.references]
    theirs += [q for control in context.controls for q in control.name.lookups.values()]
    return any(dns_kind(q) not in UNANSWERED for q in below) and any(
        q.most_bytes > PLAIN_PAYLOAD for q in theirs if q.qtype == qtype
    )


def _by_authority(name: NameView, kind: Kind, qtype: str) -> bool:
    encrypted = {
        dns_kind(q) for q in name.references if q.qtype == qtype and q.transport in ENCRYPTED
    }
    return kind in encrypted and Kind.OK not in encrypted


_ANSWERED_BADLY = (Kind.NXDOMAIN, Kind.DNS_REFUSED, Kind.SERVFAIL, Kind.EMPTY)


CONFIRMED = ("dns.answer_proven", "dns.answer_known")
"""Rules by which somebody else than the resolver confirms its answer."""


DNS_RULES: tuple[Rule[LookupFacts], ...] = (
    Rule(
        "dns.answer_proven",
        lambda lookup: lookup.answer.proven,
        State.OK,
        "An answered address showed a certificate for the name that is valid, or was at another "
        "time (OONI: tls_consistent).",
    ),
    Rule(
        "dns.answer_known",
        lambda lookup: lookup.answer.known,
        State.OK,
        "The control, or an encrypted resolver, gave one of these addresses too. This also covers "
        "names that give private addresses to everyone (OONI: bogon_in_ctrl).",
    ),
    Rule(
        "dns.no_record",
        lambda lookup: lookup.kind is Kind.EMPTY and (lookup.reach is Reach.SAME or lookup.sibling),
        State.DOWN,
        "No address of this family, for the control neither; or the other family is answered, as "
        "by home routers that filter AAAA.",
    ),
    Rule(
        "dns.failure_everywhere",
        lambda lookup: lookup.kind is not Kind.OK and lookup.reach is Reach.SAME,
        State.DOWN,
        "The control's resolver fails in the same way: the name no longer exists or its servers "
        "are down.",
    ),
    machine_late(Layer.DNS),
    Rule(
        "dns.resolver_limits",
        lambda lookup: (
            not lookup.forgery.injected
            and (
                (lookup.resolver.limits and lookup.kind in UNANSWERED and not lookup.sibling)
                or (lookup.resolver.fails_alike and not lookup.sibling)
                or (lookup.resolver.contradicted and lookup.kind in ABSENT)
            )
        ),
        State.INCONCLUSIVE,
        "At the same time the resolver failed an innocuous name too or took nearly as long for it, "
        "or denied one of which it gives an address: it limits its queries, is slow or faulty.",
        evidence=("resolver_limits",),
    ),
    Rule(
        "dns.type_unanswered",
        lambda lookup: lookup.resolver.type_unanswered and not lookup.sibling,
        State.INCONCLUSIVE,
        "The resolver fails this query type in this way for every name: only the other type says "
        "anything of this one.",
    ),
    background_fails(Layer.DNS),
    line_unseen(Layer.DNS),
    Rule(
        "dns.authority_differs",
        lambda lookup: (
            lookup.by_authority
            and lookup.kind in _ANSWERED_BADLY
            and not (lookup.forgery.injected or lookup.sibling)
        ),
        State.INCONCLUSIVE,
        "An encrypted resolver gives the same answer here, and the control gets another one: the "
        "name's own servers answer by country.",
        evidence=("by_authority",),
    ),
    Rule(
        "dns.bogon",
        lambda lookup: lookup.unvouched and lookup.answer.bogon,
        State.BLOCKED,
        "The answer is an address that no public service can have. (fit: dns bogon +1.78)",
        Technique.DNS_INJECTION_BOGON,
        4_100_000,
    ),
    Rule(
        "dns.blockpage",
        lambda lookup: lookup.unvouched and lookup.answer.page is not None,
        State.BLOCKED,
        "The answer leads to a known block page that no control sees. (typed)",
        Technique.DNS_INJECTION_BLOCKPAGE,
        4_700_000,
    ),
    Rule(
        "dns.injected",
        lambda lookup: (
            lookup.unvouched
            and lookup.forgery.injected
            and not lookup.answer.untried
            and not lookup.answer.by_name
        ),
        State.BLOCKED,
        "No certificate confirms the answer, and a second reply differed or an address that runs "
        "no DNS answered, though not for an innocuous name: it was forged on the path. (typed; "
        "GFWatch calls the latter zero-error)",
        Technique.DNS_INJECTION_OTHER,
        4_700_000,
    ),
    Rule(
        "dns.old_answer",
        lambda lookup: (
            lookup.unvouched
            and (lookup.answer.foreign or lookup.answer.other_page)
            and lookup.forgery.zone_kept
            and not lookup.forgery.changed
        ),
        State.INCONCLUSIVE,
        "The address is somebody else's, and the rest of the zone comes as its servers give it: an "
        "answer kept from before, or a list without the names below.",
    ),
    Rule(
        "dns.blockpage_abroad",
        lambda lookup: lookup.unvouched and lookup.answer.page_abroad is not None,
        State.BLOCKED,
        "The answer leads to a block page that is known from another country, and that no control "
        "sees: lookups may leave through a network there. (typed, halved)",
        Technique.DNS_INJECTION_BLOCKPAGE,
        2_300_000,
        evidence=("blockpage_abroad",),
    ),
    Rule(
        FOREIGN_CERTIFICATE,
        lambda lookup: (
            lookup.unvouched
            and lookup.answer.others_known
            and lookup.answer.foreign
            and not lookup.answer.by_name
        ),
        State.BLOCKED,
        "The answered address, which no control sees, shows someone else's certificate. "
        "(fit: tls inconsistent, dns +1.61)",
        Technique.DNS_INJECTION_OTHER,
        3_700_000,
    ),
    Rule(
        "dns.other_page",
        lambda lookup: lookup.unvouched and lookup.answer.other_page,
        State.BLOCKED,
        "The answered address, which no control sees, gives another page than the control's, and "
        "the control's address gives the control's page from here too. (fit: answer_unmatched and "
        "http diff)",
        Technique.DNS_INJECTION_OTHER,
        2_400_000,
    ),
    Rule(
        "dns.forged_below",
        lambda lookup: (
            lookup.unvouched
            and lookup.forgery.below
            and lookup.answer.others_known
            and not lookup.answer.untried
            and not lookup.answer.by_name
        ),
        State.BLOCKED,
        "Nothing confirms the answer, and the resolver gives the same address for a name below it "
        "that does not exist, or any, and none for other such names: it answers by a list of "
        "names, and all below them. (typed)",
        Technique.DNS_INJECTION_OTHER,
        3_700_000,
    ),
    Rule(
        "dns.dead_answer",
        lambda lookup: (
            lookup.unvouched
            and lookup.answer.dead
            and (lookup.forgery.changed or lookup.forgery.no_soa)
            and not lookup.answer.by_name
        ),
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
        lambda lookup: lookup.kind is Kind.OK and not lookup.answer.others_known,
        State.OK,
        "There are no other addresses to compare with.",
    ),
    Rule(
        "dns.answer_unmatched",
        lambda lookup: lookup.kind is Kind.OK,
        State.OK,
        "Other addresses than the control's, with no sign that they are wrong: geographic DNS.",
        evidence=("dns_unproven",),
    ),
    Rule(
        "dns.nxdomain",
        lambda lookup: (
            lookup.kind is Kind.NXDOMAIN
            and not lookup.resolver.type_unanswered
            and (lookup.forgery.injected or not lookup.unconfirmed)
        ),
        State.BLOCKED,
        "The resolver says that the name does not exist. (fit: dns fail_ctrl_ok +1.61)",
        Technique.DNS_NXDOMAIN,
        3_700_000,
    ),
    Rule(
        "dns.asked_once",
        lambda lookup: (
            not (lookup.forgery.injected or lookup.sibling)
            and ((lookup.kind in UNANSWERED and not lookup.asked_again) or lookup.unconfirmed)
        ),
        State.INCONCLUSIVE,
        "The resolver was not asked again from a fresh port, or denied the name and then gave no "
        "answer: a table of connections that is full, one lost packet, or one stale server of "
        "several explains it as well.",
        evidence=("asked_once",),
    ),
    Rule(
        "dns.refused",
        lambda lookup: lookup.kind is Kind.DNS_REFUSED and not lookup.sibling,
        State.BLOCKED,
        "The resolver refuses this name and answers others. An access list of the resolver looks "
        "the same. (low to fit)",
        Technique.DNS_REFUSED,
        2_500_000,
    ),
    Rule(
        "dns.other_family_answered",
        lambda lookup: lookup.sibling,
        State.OK,
        "Only one query type fails: not with NXDOMAIN, or with NXDOMAIN for every name. Some "
        "middleboxes mishandle AAAA.",
        evidence=("one_family_unanswered",),
    ),
    Rule(
        "dns.unchecked_answer",
        lambda lookup: (
            lookup.kind is Kind.SERVFAIL and lookup.unchecked_right and not lookup.forgery.injected
        ),
        State.INCONCLUSIVE,
        "The resolver gives a right address when it is asked not to check signatures (RFC 4035): "
        "they do not hold for it.",
        evidence=("unchecked_answer",),
    ),
    Rule(
        "dns.large_answer",
        lambda lookup: (
            lookup.kind in (Kind.SERVFAIL, Kind.TIMEOUT)
            and lookup.lost_by_size
            and not lookup.forgery.injected
        ),
        State.INCONCLUSIVE,
        "Others get an answer of over 512 bytes, and a name below is answered: large answers get "
        "lost on the way to the resolver or from it (RFC 9715).",
        evidence=("large_answer",),
    ),
    Rule(
        "dns.reported_fault",
        lambda lookup: (
            lookup.kind is Kind.SERVFAIL and lookup.reports_fault and not lookup.forgery.changed
        ),
        State.INCONCLUSIVE,
        "The resolver says that the signatures of the name's zone did not hold, or that it could "
        "not reach the zone's servers (RFC 8914): a fault of the zone or of the way to it, which "
        "other resolvers may not see.",
        evidence=("reported_fault",),
    ),
    Rule(
        "dns.servfail",
        lambda lookup: lookup.kind is Kind.SERVFAIL,
        State.BLOCKED,
        "Server failure for this name only. Broken DNSSEC and geoblocking look the same: 19 % of "
        "failures in Satellite's CN data (low)",
        Technique.DNS_SERVFAIL,
        700_000,
    ),
    Rule(
        "dns.empty",
        lambda lookup: lookup.kind is Kind.EMPTY,
        State.BLOCKED,
        "An answer without addresses, where the control gets some. (fit, halved: retired records)",
        Technique.DNS_EMPTY,
        1_900_000,
    ),
    Rule(
        "dns.timeout",
        lambda lookup: lookup.kind is Kind.TIMEOUT and lookup.resolver.answers_others,
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
