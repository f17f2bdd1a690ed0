# SPDX-License-Identifier: Apache-2.0
"""What the rules of QUIC read: one address, and whether QUIC passes from this vantage at all.

Many homes and offices let no UDP 443 through. So silence accuses only where something else over
QUIC was seen to pass from the same vantage in the same round: our reflector, another address or
endpoint of the target, or another target (`passes`, which the caller puts into the Standing).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.detection.facts.kinds import Kind, quic_kind, reached, tls_kind
from monitor.detection.facts.tcp_tls_http import Beside, Reach, reach
from monitor.detection.facts.view import AddressView
from probes.wire.measurement import Measurement
from probes.wire.observation import QUICHandshake

AFTER_TRIGGER = "after_trigger"
"""Beside an innocuous name: ours had died here a short while before."""


@dataclass(frozen=True)
class QUICFacts:
    """One address, as far as QUIC goes."""

    kind: Kind
    reach: Reach
    here: bool = False
    """The control shook hands over QUIC at this very address."""
    repeated: bool = False
    """A repeat from a fresh port shook hands."""
    accused: bool = False
    """The DNS answer that gave this address is itself judged forged."""
    family_dead: bool = False
    """No liveness host was reached over this address family."""
    innocuous: Kind | None = None
    """Another name at the same address."""
    tainted: bool = False
    """It was shown after ours: a censor that goes on blocking the pair of addresses for minutes
    kills it as well."""
    reflector: Kind | None = None
    """The service's name at an address of ours."""
    elsewhere: bool | None = None
    """Other QUIC of this vantage and round passed; False: all that was tried met silence; None:
    none was tried."""
    evidence: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """No handshake came about, and nobody said why."""
        return self.kind is Kind.TIMEOUT

    @property
    def quic_passes(self) -> bool:
        """Something over QUIC passes from this vantage."""
        return self.elsewhere is True or (self.reflector is not None and passed(self.reflector))

    @property
    def innocuous_passes(self) -> bool:
        """Another name to the same address gets through."""
        return self.innocuous is not None and passed(self.innocuous)

    @property
    def by_name(self) -> bool:
        """Only the service's name is met with silence: another name at the same address is not,
        or our name dies on the way to our own host too, although QUIC passes otherwise."""
        dies = self.reflector is Kind.TIMEOUT and self.elsewhere is True
        return self.innocuous_passes or dies

    @property
    def whatever_name(self) -> bool:
        """Another name at this address is met with silence too, though QUIC passes otherwise.
        When that name came second, only with ours passing elsewhere."""
        if self.innocuous is not Kind.TIMEOUT:
            return False
        ours = self.reflector is not None and passed(self.reflector)
        return ours or (self.elsewhere is True and not self.tainted)

    @property
    def no_quic_here(self) -> bool:
        """Nothing over QUIC passes from this vantage, as far as was seen: neither our reflector
        nor anything else answers."""
        if self.innocuous_passes or self.quic_passes:
            return False
        return self.reflector is Kind.TIMEOUT or (
            self.reflector is None and self.elsewhere is False
        )


def passed(kind: Kind) -> bool:
    """The far side was heard: it showed a certificate, or closed by itself."""
    return reached(kind) or kind is Kind.ALERT


def passes(measured: Iterable[Measurement]) -> bool | None:
    """Return whether QUIC passed in these measurements of one vantage and round: False when all
    that was tried met silence, None when none was. Names and contrasts do not matter."""
    return _any_passes(
        seen
        for measurement in measured
        for seen in measurement.observations
        if isinstance(seen, QUICHandshake)
    )


def quic_facts(case: Beside, place: AddressView, accused: bool) -> QUICFacts | None:
    """Return the facts of QUIC at one address; None when it was not tried."""
    if place.quic is None:
        return None
    key = (place.address, place.port)
    here = [c.places[key] for c in case.controls if key in c.places and c.places[key].quic]
    seen = here or [p for c in case.controls for p in c.places.values() if p.quic]
    kinds = [Kind.OK if p.quic_repeated else quic_kind(p.quic) for p in seen if p.quic is not None]
    kind = quic_kind(place.quic)
    innocuous, reflector = place.quic_innocuous, case.endpoint.quic_reflector
    tainted = innocuous is not None and (
        innocuous.at_us > place.quic.at_us or AFTER_TRIGGER in innocuous.evidence
    )
    # What looks like the address may be the name, minutes long.
    residual = tainted and innocuous is not None and quic_kind(innocuous) is Kind.TIMEOUT
    return QUICFacts(
        kind=kind,
        reach=reach(kind, kinds),
        here=any(p.quic_repeated or _passed(p.quic) for p in here),
        repeated=place.quic_repeated,
        accused=accused,
        family_dead=case.standing.international is not None
        and place.family not in case.standing.families,
        innocuous=quic_kind(innocuous) if innocuous else None,
        tainted=tainted,
        reflector=quic_kind(reflector) if reflector else None,
        elsewhere=_elsewhere(case, place),
        evidence=(*_evidence(place), *(("residual_possible",) if residual else ())),
    )


def _passed(seen: QUICHandshake | None) -> bool:
    return seen is not None and passed(quic_kind(seen))


def _any_passes(seen: Iterable[QUICHandshake]) -> bool | None:
    kinds = {quic_kind(handshake) for handshake in seen}
    if any(map(passed, kinds)):
        return True
    return False if Kind.TIMEOUT in kinds else None


def _elsewhere(case: Beside, place: AddressView) -> bool | None:
    """The rest of this measurement and, where that saw nothing pass, the rest of the round."""
    rest = [
        handshake
        for endpoint in case.siblings
        for other in endpoint.places.values()
        if (other.address, other.port) != (place.address, place.port)
        for handshake in (other.quic, other.quic_innocuous)
        if handshake is not None
    ]
    repeated = any(
        other.quic_repeated
        for endpoint in case.siblings
        for other in endpoint.places.values()
        if (other.address, other.port) != (place.address, place.port)
    )
    told = {True if repeated else _any_passes(rest), _other_reflectors(case), case.standing.quic}
    return True if True in told else False if False in told else None


def _other_reflectors(case: Beside) -> bool | None:
    return _any_passes(
        sibling.quic_reflector
        for sibling in case.siblings
        if sibling is not case.endpoint and sibling.quic_reflector is not None
    )


def _evidence(place: AddressView) -> tuple[str, ...]:
    """What ICMP or the far side said, and how TCP and TLS fared at the same address."""
    seen, beside = place.quic, place.tcp_beside
    remarks = []
    if seen is not None and seen.icmp_type is not None:
        remarks.append(f"icmp:{seen.icmp_type}/{seen.icmp_code}")
        if seen.icmp_from:
            remarks.append(f"icmp_from:{seen.icmp_from}")
    if seen is not None and seen.close_code is not None:
        remarks.append(f"quic_close:{seen.close_code:#x}")
    if beside is not None:
        if beside.failure is not None:
            remarks.append("tcp_fails_too")
        elif place.tls_beside is not None and not reached(tls_kind(place.tls_beside)):
            remarks.append("tls_fails_too")
        else:
            remarks.append("tcp_works")
    return tuple(remarks)
