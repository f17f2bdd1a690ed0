# SPDX-License-Identifier: Apache-2.0
"""What tells a block from a fault that looks like it: each failure is compared with the same
address elsewhere, the same name at our own host, the other address family, and another port of the
same host. Pure counts.

An address that failed here and answered a control in the same minutes puts the cause on the way;
one that is dead there too, at the server. Where neither was tried, nothing is known, and time does
not replace it: an outage of the service's own servers for one region lasts for hours as well. Nor
does it where only one port of a host was ever tried: a port that the service closes stays closed;
or where no other resolver was asked for the name: it may lead to other addresses by now.

Signs show the cause on the way without our own host: what ended a connection stands nearer than the
server, or something answers that cannot be the service. A resolver that denies the name without a
zone makes that up: what it has from the name's own servers, however old, has one. What a public
resolver does says nothing of the networks whose subscribers ask it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set

from monitor.detection.layers.dns_origin import MADE_UP, NO_ZONE, OTHERS_ANSWER, ZONES_KEPT
from monitor.detection.layers.nearer import HOPS_BEFORE, SOONER
from monitor.detection.layers.tls_contrasts import NAME_FAILS_ANYWHERE, NAME_PASSES_AT_OURS
from monitor.detection.model import NO_CONTRASTS, Answer, Contrasts, Event, Fact
from monitor.detection.observed.same_port import OTHER_PORT_FAILS, PARTIAL_PORT

ANSWERS = 4
"""Answers from elsewhere that are kept by name."""
MOST_PROOFS = 8
"""Answers from elsewhere that an event shows."""
PARTIAL_IPV4, PARTIAL_IPV6 = "partial:ipv4", "partial:ipv6"
LOCAL_RESOLVER = "local_resolver"
"""Evidence that a device at home answers: many drop the zone from a denial."""
PUBLIC_RESOLVER = "public_resolver"
"""Evidence that a public resolver answers, which is not the network's."""
_KNOWN_PAGE, _PAGE_ABROAD = "blockpage:", "blockpage_abroad"
_COUNTS = (
    *("failures", "answered", "dead", "named", "ipv4", "ipv6"),
    *("sooner", "before", "forged", "zoneless", "others_answer", "at_home", "port"),
    *("other_port", "moved", "given", "public", "ours_passes"),
)
NAMED, NEARER, BEYOND, FORGED, ZONELESS, OTHERS = (
    *("named", "nearer", "server_beyond", "forged", "zoneless", "others_answer"),
)
SIGNS: Mapping[str, Callable[[Contrasts], bool]] = {
    NAMED: lambda counts: 2 * counts.named > counts.failures,
    NEARER: lambda counts: 2 * counts.sooner > counts.failures,
    BEYOND: lambda counts: counts.before > 0,
    FORGED: lambda counts: 2 * counts.forged > counts.failures,
    ZONELESS: lambda counts: 2 * counts.zoneless > counts.failures,
    OTHERS: lambda counts: 2 * counts.others_answer > counts.failures,
}
"""When the failures of one vantage show a sign: in most of them, but that the hop is looked for
once."""
ON_THE_WAY = (NAMED, NEARER, BEYOND, FORGED, ZONELESS)
"""Signs that the cause is not the service."""


def at_own_host(counts: Contrasts) -> bool:
    """Whether the failures of one vantage show what nobody causes who works for the service: the
    name fails on the way to our own host. Its registrar and its name servers may answer falsely,
    and what shields its servers may stand nearer than they and end connections."""
    return SIGNS[NAMED](counts)


def of_failure(fact: Fact) -> Contrasts:
    """The counts of one failure."""
    evidence, elsewhere = fact.verdict.evidence, fact.elsewhere
    return Contrasts(
        failures=1,
        answered=int(bool(elsewhere.answered)),
        dead=int(elsewhere.dead > 0 and not elsewhere.answered),
        named=int(NAME_FAILS_ANYWHERE in evidence),
        ipv4=int(PARTIAL_IPV4 in evidence),
        ipv6=int(PARTIAL_IPV6 in evidence),
        answers=_newest(elsewhere.answered),
        sooner=int(SOONER in evidence),
        before=int(HOPS_BEFORE in evidence),
        forged=int(MADE_UP in evidence or _is_known_page(evidence)),
        zoneless=int(NO_ZONE in evidence),
        others_answer=int(OTHERS_ANSWER in evidence),
        at_home=int(LOCAL_RESOLVER in evidence and ZONES_KEPT not in evidence),
        port=int(PARTIAL_PORT in evidence),
        other_port=int(OTHER_PORT_FAILS in evidence and PARTIAL_PORT not in evidence),
        moved=int(fact.others_work is True),
        given=int(fact.others_work is False),
        public=int(PUBLIC_RESOLVER in evidence),
        ours_passes=int(NAME_PASSES_AT_OURS in evidence),
    )


def _is_known_page(evidence: Sequence[str]) -> bool:
    """Whether a block page answered that is known from this very country."""
    known = any(remark.startswith(_KNOWN_PAGE) for remark in evidence)
    return known and _PAGE_ABROAD not in evidence


def together(every: Iterable[Contrasts]) -> Contrasts:
    """The counts of several vantages or networks."""
    counts = [contrasts for contrasts in every if contrasts != NO_CONTRASTS]
    if not counts:
        return NO_CONTRASTS
    if len(counts) == 1 and len(counts[0].answers) < 2:  # the usual case, in one step
        return counts[0]
    return Contrasts(
        **{name: sum(getattr(contrasts, name) for contrasts in counts) for name in _COUNTS},
        answers=_newest(answer for contrasts in counts for answer in contrasts.answers),
    )


def signs(
    by_owner: Iterable[tuple[str, Contrasts]], known: Set[str]
) -> tuple[tuple[str, int, int, int], ...]:
    """Each sign that any owner shows: how many known owners do, how many others, and how many might
    in all; from (owner, counts) of their vantages, and the owners who are known."""
    owned = tuple(by_owner)
    told = []
    for sign, shown in SIGNS.items():
        able = [(owner, counts) for owner, counts in owned if _might_show(sign, counts)]
        showing = {owner for owner, counts in able if shown(counts)}
        if showing:
            others = len(showing - known)
            told.append((sign, len(showing & known), others, len({owner for owner, _ in able})))
    return tuple(told)


def _might_show(sign: str, counts: Contrasts) -> bool:
    """Whether a vantage's resolver tells something of the network by this sign."""
    if sign not in (ZONELESS, OTHERS, FORGED):
        return True
    at_home = sign == ZONELESS and 2 * counts.at_home >= counts.failures
    return not at_home and 2 * counts.public < counts.failures


def _newest(answers: Iterable[Answer]) -> tuple[Answer, ...]:
    """The newest answers, one of each address and place."""
    kept: dict[tuple[str, str, int], Answer] = {}
    for answer in sorted(set(answers), key=lambda answer: (-answer.at, answer.address, answer.asn)):
        kept.setdefault((answer.address, answer.country, answer.asn), answer)
    return tuple(kept.values())[:ANSWERS]


def path_proof(event: Event) -> Sequence[Answer]:
    """Where addresses that failed inside answered elsewhere, the newest first."""
    answers = {answer for network in event.rests_on for answer in network.contrasts.answers}
    return sorted(
        answers, key=lambda answer: (-answer.at, answer.address, answer.country, answer.asn)
    )[:MOST_PROOFS]
