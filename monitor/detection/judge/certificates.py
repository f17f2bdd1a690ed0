# SPDX-License-Identifier: Apache-2.0
"""Certificates compared across countries, where one measurement does not tell whose they are.

An interceptor ends at a border. What vantages of several owners in other countries are shown as
well, the same certificate or the same key, is the service's own: it changes region by region, or
has servers for a region whose certificate is wrong. What shows its cause on the way is told
already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from monitor.detection.lateness import LATE
from monitor.detection.layers.dns import FOREIGN_CERTIFICATE
from monitor.detection.layers.dns_origin import MADE_UP
from monitor.detection.layers.tls import MITM, OWN_CERTIFICATE, UNTOLD
from monitor.detection.layers.tls_contrasts import NAME_FAILS_ANYWHERE
from monitor.detection.model import Fact, State
from monitor.detection.observed.certificate import ShownBy, shown_by
from monitor.detection.observed.kinds import CERTIFICATE_KINDS, tls_kind
from monitor.detection.policy import Policy
from probes.wire.measurement import Measurement
from probes.wire.observation import TLSHandshake

ACCUSING = (*MITM, FOREIGN_CERTIFICATE)


class UntoldCertificates(NamedTuple):
    """What one measurement was shown."""

    facts: list[Fact]
    place: int
    """Of its fact among these."""
    shown: frozenset[ShownBy]

    @property
    def fact(self) -> Fact:
        """The fact of the measurement."""
        return self.facts[self.place]


def is_untold(fact: Fact) -> bool:
    """Whether it rests on certificates of which the measurement alone does not prove whose they
    are. What arrived late changes nothing that was decided."""
    rule, evidence = fact.verdict.rule, fact.verdict.evidence
    if rule not in (*ACCUSING, UNTOLD) or LATE in evidence:
        return False
    on_the_way = not {NAME_FAILS_ANYWHERE, MADE_UP}.isdisjoint(evidence)
    return not on_the_way and not any(remark.startswith("blockpage:") for remark in evidence)


def untold(facts: list[Fact], place: int, measurement: Measurement) -> UntoldCertificates:
    """Return what a measurement was shown, for the fact at a place of `facts`."""
    shown = (
        shown_by(handshake.chain)
        for handshake in measurement.observations
        if isinstance(handshake, TLSHandshake)
        and handshake.contrast is None
        and tls_kind(handshake) in CERTIFICATE_KINDS
    )
    return UntoldCertificates(facts, place, frozenset(shown))


def tell(certificates: Sequence[UntoldCertificates], policy: Policy) -> None:
    """Put a verdict that says so in place of those on the service's own certificates."""
    told = [
        mine
        for mine in certificates
        if is_untold(mine.fact) and _is_own(mine, certificates, policy)
    ]
    for mine in told:
        verdict = mine.fact.verdict
        remarks = (set(verdict.evidence) - {"certificate_untold"}) | {"own_certificate"}
        verdict = msgspec.structs.replace(
            verdict,
            state=State.INCONCLUSIVE,
            technique=None,
            rule=OWN_CERTIFICATE,
            evidence=tuple(sorted(remarks)),
            findings=tuple(finding for finding in verdict.findings if not finding.blocked),
        )
        mine.facts[mine.place] = msgspec.structs.replace(mine.fact, verdict=verdict)


def _is_own(
    mine: UntoldCertificates, certificates: Sequence[UntoldCertificates], policy: Policy
) -> bool:
    """Whether enough owners elsewhere are shown the same. Where that takes an accusation back,
    strangers do not count: whoever has read of the certificate can say that they saw it."""
    accuses = mine.fact.verdict.rule in ACCUSING
    since = mine.fact.round - policy.ms(policy.quorum.known_seconds)
    owners = {
        other.fact.owner
        for other in certificates
        if other.fact.country != mine.fact.country
        and (other.fact.target, other.fact.round) == (mine.fact.target, mine.fact.round)
        and not (accuses and other.fact.enrolled > since)
        and any(a.same(b, authority=False) for a in mine.shown for b in other.shown)
    }
    return len(owners) >= policy.gates.elsewhere_min_owners
