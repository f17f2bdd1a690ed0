# SPDX-License-Identifier: Apache-2.0
"""Certificates of which one measurement cannot tell whose they are, compared across countries.

An interceptor ends at a border. What vantages of several owners in other countries are shown as
well, the same certificate or the same key, is the service's own: it changes region by region.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from monitor.detection.lateness import LATE
from monitor.detection.layers.tls import OWN_CERTIFICATE, UNTOLD
from monitor.detection.model import Fact
from monitor.detection.observed.certificate import ShownBy, shown_by
from monitor.detection.observed.kinds import CERTIFICATE_KINDS, tls_kind
from monitor.detection.policy import GatesPolicy
from probes.wire.measurement import Measurement
from probes.wire.observation import TLSHandshake


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
    """Whether it rests on certificates of which the measurement cannot tell whose they are. What
    arrived late changes nothing that was decided."""
    return fact.verdict.rule == UNTOLD and LATE not in fact.verdict.evidence


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


def tell(certificates: Sequence[UntoldCertificates], policy: GatesPolicy) -> None:
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
            verdict, rule=OWN_CERTIFICATE, evidence=tuple(sorted(remarks))
        )
        mine.facts[mine.place] = msgspec.structs.replace(mine.fact, verdict=verdict)


def _is_own(
    mine: UntoldCertificates, certificates: Sequence[UntoldCertificates], policy: GatesPolicy
) -> bool:
    owners = {
        other.fact.owner
        for other in certificates
        if other.fact.country != mine.fact.country
        and (other.fact.target, other.fact.round) == (mine.fact.target, mine.fact.round)
        and any(a.same(b, authority=False) for a in mine.shown for b in other.shown)
    }
    return len(owners) >= policy.elsewhere_min_owners
