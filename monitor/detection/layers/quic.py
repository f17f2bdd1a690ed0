# SPDX-License-Identifier: Apache-2.0
"""One QUIC handshake with the service's name: what is read, and the rules.

The first datagrams contain the service's name, and anyone on the path can read it. Censors drop
them (Russia since 2023, China since 2024). But many homes and offices drop all of UDP 443. So
missing answers count as blocking only when another QUIC handshake passed from the same vantage in
the same round: with our reflector, another address or endpoint of the target, or another target
(`VantageStatus.quic`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.background import Step
from monitor.detection.observed.chance import nearly_as_long
from monitor.detection.observed.endpoint_context import (
    AFTER_TRIGGER,
    EndpointContext,
    StepFacts,
)
from monitor.detection.observed.kinds import (
    CERTIFICATE_KINDS,
    Kind,
    icmp_evidence,
    quic_kind,
    reached,
    tls_kind,
)
from monitor.detection.observed.view import AddressView, EndpointView
from monitor.detection.rule import (
    Rule,
    background_fails,
    family_broken,
    forged_answer,
    local_refusal,
    udp_at_times,
)
from probes.wire.observation import QUICHandshake


@dataclass(frozen=True)
class QUICFacts(StepFacts):
    """One address, as far as QUIC goes."""

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
    """The service's name at an address of ours; None also where that fails for every name."""
    elsewhere: bool | None = None
    """Other QUIC of this vantage and round passed; False: nothing that was tried got an answer;
    None: none was tried."""
    udp_at_times: bool = False
    """While it was tried again, no host that had answered over UDP did so at the first request."""
    evidence: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """The handshake got no answer."""
        return self.kind is Kind.TIMEOUT

    @property
    def quic_passes(self) -> bool:
        """Another QUIC handshake passes from this vantage."""
        return self.elsewhere is True or (self.reflector is not None and passed(self.reflector))

    @property
    def innocuous_passes(self) -> bool:
        """Another name to the same address gets through."""
        return self.innocuous is not None and passed(self.innocuous)

    @property
    def by_name(self) -> bool:
        """Only the service's name gets no answer: another name at the same address does,
        or our name dies on the way to our own host too, which answers another, and QUIC passes
        otherwise."""
        dies = self.reflector is Kind.TIMEOUT and self.elsewhere is True
        return self.innocuous_passes or dies

    @property
    def whatever_name(self) -> bool:
        """Another name at this address gets no answer either, though QUIC passes otherwise.
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
    """The server answered: with a certificate, or by closing the connection."""
    return reached(kind) or kind is Kind.ALERT


def quic_facts(context: EndpointContext, address: AddressView, accused: bool) -> QUICFacts | None:
    """Return the facts of QUIC at one address; None when it was not tried."""
    if address.quic is None:
        return None
    kind = quic_kind(address.quic)
    innocuous, reflector = address.quic_innocuous, _reflector(context)
    proof = innocuous is not None and passed(quic_kind(innocuous))
    here = [p for p in context.at_controls(address) if p.quic]
    seen = here or [p for p in context.compared(address, proof) if p.quic]
    kinds = [Kind.OK if p.quic_repeated else quic_kind(p.quic) for p in seen if p.quic is not None]
    tainted = innocuous is not None and (
        innocuous.at_us > address.quic.at_us or AFTER_TRIGGER in innocuous.evidence
    )
    # What looks like the address may be the name, minutes long.
    residual = tainted and innocuous is not None and quic_kind(innocuous) is Kind.TIMEOUT
    by_chance = context.by_chance(
        kind, Step.DATAGRAM, address, lambda p: map(quic_kind, p.quics)
    ) or (
        # It rests on one attempt with our own host that only the name is blocked.
        not proof
        and reflector is not None
        and quic_kind(reflector) is kind
        and context.one_by_chance(kind, Step.DATAGRAM, reflector.address)
    )
    late = kind is Kind.TIMEOUT and _answered_late(
        address, (innocuous, reflector, *_others(context, address))
    )
    return QUICFacts(
        kind=kind,
        reach=context.reach(kind, kinds),
        here=any(p.quic_repeated or _passed(p.quic) for p in here),
        repeated=address.quic_repeated,
        accused=accused,
        by_chance=by_chance or late,
        family_dead=context.family_dead(address),
        innocuous=quic_kind(innocuous) if innocuous else None,
        tainted=tainted,
        reflector=quic_kind(reflector) if reflector else None,
        elsewhere=_elsewhere(context, address),
        udp_at_times=context.udp_at_times(address),
        evidence=(*_evidence(address), *(("residual_possible",) if residual else ())),
    )


def _reflector(context: EndpointContext) -> QUICHandshake | None:
    seen = context.endpoint.quic_reflector
    if seen is None or context.reflector_fails((seen.address, seen.port), _ours, _another):
        return None
    return seen


def _ours(endpoint: EndpointView) -> bool:
    return _passed(endpoint.quic_reflector)


def _another(reflector: AddressView) -> bool | None:
    return None if reflector.quic_innocuous is None else _passed(reflector.quic_innocuous)


def _passed(seen: QUICHandshake | None) -> bool:
    return seen is not None and passed(quic_kind(seen))


def _any_passes(seen: Iterable[QUICHandshake]) -> bool | None:
    kinds = {quic_kind(handshake) for handshake in seen}
    if any(map(passed, kinds)):
        return True
    return False if Kind.TIMEOUT in kinds else None


def _other_addresses(context: EndpointContext, address: AddressView) -> list[AddressView]:
    return [
        other
        for endpoint in context.siblings
        for other in endpoint.addresses.values()
        if (other.address, other.port) != (address.address, address.port)
    ]


def _others(context: EndpointContext, address: AddressView) -> list[QUICHandshake | None]:
    others = _other_addresses(context, address)
    return [handshake for other in others for handshake in (other.quic, other.quic_innocuous)]


def _answered_late(address: AddressView, others: Iterable[QUICHandshake | None]) -> bool:
    """Whether another handshake took nearly as long as those at this address were waited for; where
    they were answered in part, as the shortest of them: the server is there, and was not done."""
    waited = [each.took_us for each in address.quics]
    parts = [each.took_us for each in address.quics if each.received_bytes]
    answered = (each.took_us for each in others if each is not None and _passed(each))
    return nearly_as_long(answered, [min(parts)] if parts else waited)


def _elsewhere(context: EndpointContext, address: AddressView) -> bool | None:
    """Whether other QUIC passed in this measurement or, if not, in the rest of the round."""
    seen = [
        *_others(context, address),
        *(each.quic_reflector for each in context.siblings if each is not context.endpoint),
    ]
    if any(other.quic_repeated for other in _other_addresses(context, address)):
        return True
    found = {
        _any_passes(each for each in seen if each is not None),
        context.vantage.quic,
    }
    return True if True in found else False if False in found else None


def _evidence(address: AddressView) -> tuple[str, ...]:
    """What ICMP or the server reported, and whether TCP and TLS worked at the same address."""
    seen, tcp = address.quic, address.tcp_beside
    remarks = [] if seen is None else [*icmp_evidence(seen)]
    if seen is not None and seen.close_code is not None:
        remarks.append(f"quic_close:{seen.close_code:#x}")
    if tcp is not None:
        if tcp.failure is not None:
            remarks.append("tcp_fails_too")
        elif address.tls_beside is not None and not reached(tls_kind(address.tls_beside)):
            remarks.append("tls_fails_too")
        else:
            remarks.append("tcp_works")
    return tuple(remarks)


_ICMP = (Kind.UNREACHABLE, Kind.PROHIBITED, Kind.REFUSED)
QUIC_RULES: tuple[Rule[QUICFacts], ...] = (
    forged_answer(Layer.QUIC),
    Rule(
        "quic.certificate_valid",
        lambda f: f.kind is Kind.OK,
        State.OK,
        "The handshake was completed, with a valid certificate for the name.",
    ),
    Rule(
        "quic.repeat_valid",
        lambda f: f.repeated,
        State.OK,
        "A second attempt from a fresh port completed the handshake: loss, not a block.",
        evidence=("transient",),
    ),
    family_broken(Layer.QUIC),
    local_refusal(Layer.QUIC),
    Rule(
        "quic.control_fails_too",
        lambda f: f.reach.fails_too,
        State.DOWN,
        "The control fails in the same way: closed port, no QUIC there, expired certificate.",
    ),
    Rule(
        "quic.icmp",
        lambda f: f.kind in _ICMP,
        State.INCONCLUSIVE,
        "ICMP reports that the address is unreachable, while the control's handshake passes. "
        "Firewalls of homes and offices refuse QUIC so, as a closed port does; no known blocking "
        "technique does.",
    ),
    Rule(
        "quic.foreign_certificate",
        lambda f: f.kind in CERTIFICATE_KINDS or f.kind is Kind.DATES,
        State.INCONCLUSIVE,
        "Someone else's certificate over QUIC, where the control sees a valid one. No known "
        "blocking technique does so; TLS to the same service shows more.",
        evidence=("foreign_certificate",),
    ),
    Rule(
        "quic.no_quic_here",
        lambda f: f.silent and f.no_quic_here,
        State.INCONCLUSIVE,
        "Our own reflector gives no answer over QUIC either, and nor does anything else that was "
        "tried: this network lets no QUIC through, as many homes and offices do.",
        evidence=("no_quic_here",),
    ),
    udp_at_times(Layer.QUIC),
    background_fails(Layer.QUIC),
    Rule(
        "quic.timeout.sni",
        lambda f: f.silent and f.by_name,
        State.BLOCKED,
        "QUIC handshakes get no answer for the service's name only: another name to the same "
        "address passes, or our name to our own host fails too, where an innocuous one passes, "
        "while other QUIC passes. (typed)",
        Technique.QUIC_TIMEOUT_SNI,
        3_100_000,
    ),
    Rule(
        "quic.timeout",
        lambda f: f.silent and f.whatever_name,
        State.BLOCKED,
        "QUIC handshakes with this address get no answer, whatever the name, while other QUIC "
        "passes and the control's does. `tcp_works` says that only QUIC is blocked. (low)",
        Technique.QUIC_TIMEOUT,
        700_000,
    ),
    Rule(
        "quic.untold",
        lambda f: f.silent and f.quic_passes,
        State.BLOCKED,
        "QUIC handshakes with this address get no answer, while other QUIC passes and the "
        "control's does. Whether by name or by address is not known, so no technique is named. "
        "(low)",
        None,
        500_000,
    ),
    Rule(
        "quic.unclear",
        lambda _: True,
        State.INCONCLUSIVE,
        "The handshake failed in a way that no other rule covers, or got no answer while it is not "
        "known whether any QUIC passes here.",
    ),
)
