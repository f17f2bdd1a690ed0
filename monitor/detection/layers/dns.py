# SPDX-License-Identifier: Apache-2.0
"""Rules over one name and query type at the vantage's own resolver.

What works comes first: a valid certificate rehabilitates an answer, so geographic DNS is never
an accusation. An answer that is merely different accuses nobody.
"""

from __future__ import annotations

from monitor.detection.facts.kinds import Kind
from monitor.detection.facts.tcp_tls_http import Reach
from monitor.detection.layers.dns_facts import LookupFacts
from monitor.detection.model import Layer, State, Technique
from monitor.detection.rule import Rule

_DNS = Layer.DNS


_UNANSWERED = (Kind.DNS_REFUSED, Kind.SERVFAIL, Kind.TIMEOUT)
_ANSWERED_BADLY = (Kind.NXDOMAIN, Kind.DNS_REFUSED, Kind.SERVFAIL, Kind.EMPTY)


def _unvouched(f: LookupFacts) -> bool:
    return f.kind is Kind.OK and not f.proven and not f.known


DNS_RULES: tuple[Rule[LookupFacts], ...] = (
    Rule(
        "dns.answer_proven",
        _DNS,
        lambda f: f.proven,
        State.OK,
        "An answered address showed a valid certificate for the name (OONI: tls_consistent).",
    ),
    Rule(
        "dns.answer_known",
        _DNS,
        lambda f: f.known,
        State.OK,
        "The control, or an encrypted resolver, gave one of these addresses too; also when it is "
        "odd, as with names that publish private addresses to everyone (OONI: bogon_in_ctrl).",
    ),
    Rule(
        "dns.no_record",
        _DNS,
        lambda f: f.kind is Kind.EMPTY and (f.reach is Reach.SAME or f.sibling),
        State.DOWN,
        "No address of this family: for the control neither, or for this resolver only while the "
        "other family is answered, as home routers do that filter AAAA.",
    ),
    Rule(
        "dns.failure_everywhere",
        _DNS,
        lambda f: f.kind is not Kind.OK and f.reach is Reach.SAME,
        State.DOWN,
        "The control's resolver fails in the same way: the name is gone or its servers are down.",
    ),
    Rule(
        "dns.resolver_limits",
        _DNS,
        lambda f: f.limits and f.kind in _UNANSWERED and not f.sibling,
        State.INCONCLUSIVE,
        "At the same time the resolver failed an innocuous name in the same way: it limits how "
        "often it is asked, or is in trouble itself.",
        evidence=("resolver_limits",),
    ),
    Rule(
        "dns.authority_differs",
        _DNS,
        lambda f: f.authority and f.kind in _ANSWERED_BADLY and not f.sibling,
        State.INCONCLUSIVE,
        "Asked from here over an encrypted channel the answer is the same, and the control gets "
        "another: the name's own servers answer by country.",
        evidence=("by_authority",),
    ),
    Rule(
        "dns.bogon",
        _DNS,
        lambda f: _unvouched(f) and f.bogon,
        State.BLOCKED,
        "The answer is an address that no public service can have. (fit: dns bogon +1.78)",
        Technique.DNS_INJECTION_BOGON,
        4_100_000,
    ),
    Rule(
        "dns.blockpage",
        _DNS,
        lambda f: _unvouched(f) and f.page is not None,
        State.BLOCKED,
        "The answer leads to a known block page that no control sees. (typed)",
        Technique.DNS_INJECTION_BLOCKPAGE,
        4_700_000,
    ),
    Rule(
        "dns.injected",
        _DNS,
        lambda f: _unvouched(f) and f.injected and not f.by_name,
        State.BLOCKED,
        "The answer cannot prove itself, and a second reply differed or an address that runs no "
        "DNS answered: it was forged on the path. (typed; GFWatch calls the latter zero-error)",
        Technique.DNS_INJECTION_OTHER,
        4_700_000,
    ),
    Rule(
        "dns.foreign_certificate",
        _DNS,
        lambda f: _unvouched(f) and f.others_known and f.foreign and not f.by_name,
        State.BLOCKED,
        "The answered address, which no control sees, shows someone else's certificate. "
        "(fit: tls inconsistent, dns +1.61)",
        Technique.DNS_INJECTION_OTHER,
        3_700_000,
    ),
    Rule(
        "dns.dead_answer",
        _DNS,
        lambda f: _unvouched(f) and f.dead and not f.by_name,
        State.BLOCKED,
        "The answered addresses, which no control sees, fail, while the control's addresses work "
        "from here: a fault of geographic DNS looks the same, so it weighs little. "
        "(fit: answer_unmatched +0.58)",
        Technique.DNS_INJECTION_OTHER,
        1_300_000,
    ),
    Rule(
        "dns.answer_alone",
        _DNS,
        lambda f: f.kind is Kind.OK and not f.others_known,
        State.OK,
        "Nobody else gave addresses to compare with.",
    ),
    Rule(
        "dns.answer_unmatched",
        _DNS,
        lambda f: f.kind is Kind.OK,
        State.OK,
        "Other addresses than the control's, and nothing says that they are wrong: geographic DNS.",
        evidence=("dns_unproven",),
    ),
    Rule(
        "dns.nxdomain",
        _DNS,
        lambda f: f.kind is Kind.NXDOMAIN,
        State.BLOCKED,
        "The resolver denies the name. (fit: dns fail_ctrl_ok +1.61)",
        Technique.DNS_NXDOMAIN,
        3_700_000,
    ),
    Rule(
        "dns.refused",
        _DNS,
        lambda f: f.kind is Kind.DNS_REFUSED and not f.sibling,
        State.BLOCKED,
        "The resolver refuses this name and answers others; its access list is the confounder. "
        "(low to fit)",
        Technique.DNS_REFUSED,
        2_500_000,
    ),
    Rule(
        "dns.other_family_answered",
        _DNS,
        lambda f: f.sibling,
        State.OK,
        "Only one query type fails, not by denial: middleboxes that mishandle AAAA do so.",
        evidence=("one_family_unanswered",),
    ),
    Rule(
        "dns.servfail",
        _DNS,
        lambda f: f.kind is Kind.SERVFAIL,
        State.BLOCKED,
        "Server failure for this name only. Broken DNSSEC and geoblocking look the same: 19 % of "
        "failures in Satellite's CN data (low)",
        Technique.DNS_SERVFAIL,
        700_000,
    ),
    Rule(
        "dns.empty",
        _DNS,
        lambda f: f.kind is Kind.EMPTY,
        State.BLOCKED,
        "An answer without addresses, where the control gets some. (fit, halved: retired records)",
        Technique.DNS_EMPTY,
        1_900_000,
    ),
    Rule(
        "dns.timeout",
        _DNS,
        lambda f: f.kind is Kind.TIMEOUT and f.others and f.attempts >= 2,
        State.BLOCKED,
        "No answer for this name, asked at least twice, while the resolver answered every liveness "
        "name. UDP loss is the confounder. (low)",
        Technique.DNS_TIMEOUT,
        500_000,
    ),
    Rule(
        "dns.unclear",
        _DNS,
        lambda _: True,
        State.INCONCLUSIVE,
        "The lookup failed in a way that loss or a fault of the resolver explains as well.",
    ),
)
