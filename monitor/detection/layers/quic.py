# SPDX-License-Identifier: Apache-2.0
"""One QUIC handshake with the service's name: what is read, and the rules.

The first datagrams contain the service's name, and anyone on the path can read it. Censors drop
them (Russia since 2023, China since 2024). But many homes and offices drop all of UDP 443. So
missing answers count as blocking only when another QUIC handshake passed from the same vantage in
the same round: with our reflector, another address or endpoint of the target, or another target
(`RoundBackground.quic`).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from monitor.detection.layers.tls_contrasts import NAME_FAILS_ANYWHERE
from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.background import Step
from monitor.detection.observed.by_chance import attempt_by_chance, attempts_by_chance
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
from monitor.detection.observed.line import reached_since
from monitor.detection.observed.view import AddressView, EndpointView
from monitor.detection.rule import (
    Rule,
    background_fails,
    family_broken,
    forged_answer,
    line_unseen,
    local_refusal,
    machine_late,
    udp_at_times,
)
from probes.wire.observation import QUICHandshake


class QUICContrasts(msgspec.Struct, frozen=True, gc=False):
    """How other QUIC handshakes fared: with other names, and elsewhere."""

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

    @property
    def quic_passes(self) -> bool:
        """Another QUIC handshake passes from this vantage."""
        return self.elsewhere is True or passed(self.reflector)

    @property
    def innocuous_passes(self) -> bool:
        """Another name to the same address gets through."""
        return passed(self.innocuous)

    @property
    def by_name(self) -> bool:
        """Where ours gets no answer, only its name does not: another name at the same address does,
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
        return passed(self.reflector) or (self.elsewhere is True and not self.tainted)

    @property
    def residual_possible(self) -> bool:
        """What looks like the address may be the name, minutes long."""
        return self.tainted and self.innocuous is Kind.TIMEOUT

    @property
    def no_quic_here(self) -> bool:
        """Nothing over QUIC passes from this vantage, as far as was seen: neither our reflector
        nor anything else answers."""
        if self.innocuous_passes or self.quic_passes:
            return False
        return self.reflector is Kind.TIMEOUT or (
            self.reflector is None and self.elsewhere is False
        )


class QUICFacts(StepFacts, frozen=True, kw_only=True):
    """One address, as far as QUIC goes."""

    accused: bool = False
    """The DNS answer that gave this address is itself judged forged."""
    family_dead: bool = False
    """No liveness host was reached over this address family."""
    contrasts: QUICContrasts = QUICContrasts()
    udp_at_times: bool = False
    """While it was tried again, no host that had answered over UDP did so at the first request."""
    evidence: tuple[str, ...] = ()

    @property
    def silent(self) -> bool:
        """The handshake got no answer."""
        return self.kind is Kind.TIMEOUT


def passed(kind: Kind | None) -> bool:
    """The server answered: with a certificate, or by closing the connection."""
    return kind is not None and (reached(kind) or kind is Kind.ALERT)


def quic_facts(context: EndpointContext, address: AddressView, accused: bool) -> QUICFacts | None:
    """Return the facts of QUIC at one address; None when it was not tried."""
    handshake = address.quic.subject
    if handshake is None:
        return None
    kind = quic_kind(handshake)
    reflector = _reflector(context)
    contrasts = _contrasts(context, address, handshake, reflector)
    here = [p for p in context.at_controls(address) if p.quic.tried]
    proof = contrasts.innocuous_passes
    there = here or [p for p in context.compared(address, proof) if p.quic.tried]
    return QUICFacts(
        kind=kind,
        reach=context.reach(kind, (Kind.OK if p.quic.repeated else p.quic.kind for p in there)),
        here=any(p.quic.repeated or passed(p.quic.kind) for p in here),
        repeated=address.quic.repeated,
        by_chance=attempts_by_chance(context, kind, Step.DATAGRAM, address, lambda p: p.quic.kinds)
        or _name_by_chance(context, address, kind, reflector)
        or (kind is Kind.TIMEOUT and _answered_late(context, address, reflector)),
        line_unseen=kind is Kind.TIMEOUT
        and (
            _line_died(context, address, reflector)
            or context.line_unseen(address.family, address.quic.unanswered)
        ),
        accused=accused,
        family_dead=context.family_dead(address),
        contrasts=contrasts,
        udp_at_times=context.udp_at_times(address),
        evidence=(*_evidence(address, contrasts), *_anywhere(context, reflector, kind)),
    )


def _contrasts(
    context: EndpointContext,
    address: AddressView,
    handshake: QUICHandshake,
    reflector: QUICHandshake | None,
) -> QUICContrasts:
    innocuous = address.quic.innocuous
    return QUICContrasts(
        innocuous=address.quic.innocuous_kind,
        tainted=innocuous is not None
        and (innocuous.at_us > handshake.at_us or AFTER_TRIGGER in innocuous.evidence),
        reflector=None if reflector is None else quic_kind(reflector),
        elsewhere=_elsewhere(context, address),
    )


def _name_by_chance(
    context: EndpointContext, address: AddressView, kind: Kind, reflector: QUICHandshake | None
) -> bool:
    """Whether it rests on an attempt with our own host alone that only the name is blocked, and
    chance explains that one: others die, or were answered there nearly as late as ours was waited
    for."""
    if reflector is None or quic_kind(reflector) is not kind or passed(address.quic.innocuous_kind):
        return False
    if attempt_by_chance(context, kind, Step.DATAGRAM, reflector.address):
        return True
    at = reflector.address, reflector.port
    views = (endpoint.addresses.get(at) for endpoint in context.siblings)
    shown = [other for view in views if view is not None for other in view.quic.every_innocuous]
    answered = (other.took_us for other in shown if _passed(other))
    return kind is Kind.TIMEOUT and nearly_as_long(answered, [reflector.took_us])


def _line_died(
    context: EndpointContext, address: AddressView, reflector: QUICHandshake | None
) -> bool:
    """Whether the line may have died before the last attempt with our name, be it at our own host:
    nothing that was tried then or later was reached."""
    if passed(address.quic.innocuous_kind) or _passed(reflector):
        return False
    last = max(ours.at_us for ours in (*address.quic.every, reflector) if ours is not None)
    return not reached_since(context.siblings, last)


def _reflector(context: EndpointContext) -> QUICHandshake | None:
    handshake = context.endpoint.reflector.quic
    if handshake is None:
        return None
    if context.reflector_fails((handshake.address, handshake.port), _ours, _another):
        return None
    return handshake


def _ours(endpoint: EndpointView) -> bool:
    return _passed(endpoint.reflector.quic)


def _another(reflector: AddressView) -> bool | None:
    kind = reflector.quic.innocuous_kind
    return None if kind is None else passed(kind)


def _passed(handshake: QUICHandshake | None) -> bool:
    return handshake is not None and passed(quic_kind(handshake))


def _anywhere(
    context: EndpointContext, reflector: QUICHandshake | None, kind: Kind
) -> tuple[str, ...]:
    """The remark that our name gets no answer at our own host either, where another does."""
    if reflector is None or kind is not Kind.TIMEOUT or quic_kind(reflector) is not kind:
        return ()
    at = reflector.address, reflector.port
    views = (endpoint.addresses.get(at) for endpoint in context.siblings)
    passes = any(view is not None and _another(view) is True for view in views)
    return (NAME_FAILS_ANYWHERE,) if passes else ()


def _any_passes(handshakes: Iterable[QUICHandshake]) -> bool | None:
    kinds = {quic_kind(handshake) for handshake in handshakes}
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
    return [
        handshake for other in others for handshake in (other.quic.subject, other.quic.innocuous)
    ]


def _answered_late(
    context: EndpointContext, address: AddressView, reflector: QUICHandshake | None
) -> bool:
    """Whether another handshake took nearly as long as those at this address were waited for; where
    they were answered in part, as the shortest of them: the server is there, and was not done."""
    waited = [ours.took_us for ours in address.quic.every]
    parts = [ours.took_us for ours in address.quic.every if ours.received_bytes]
    others = (address.quic.innocuous, reflector, *_others(context, address))
    answered = (other.took_us for other in others if other is not None and _passed(other))
    return nearly_as_long(answered, [min(parts)] if parts else waited)


def _elsewhere(context: EndpointContext, address: AddressView) -> bool | None:
    """Whether other QUIC passed in this measurement or, if not, in the rest of the round."""
    if any(other.quic.repeated for other in _other_addresses(context, address)):
        return True
    handshakes = [
        *_others(context, address),
        *(e.reflector.quic for e in context.siblings if e is not context.endpoint),
    ]
    passes = {
        _any_passes(handshake for handshake in handshakes if handshake is not None),
        context.vantage.background.quic,
    }
    return True if True in passes else False if False in passes else None


def _evidence(address: AddressView, contrasts: QUICContrasts) -> tuple[str, ...]:
    """What ICMP or the server reported, whether TCP and TLS worked at the same address, and whether
    the name may be what is blocked."""
    handshake = address.quic.subject
    remarks = [] if handshake is None else [*icmp_evidence(handshake)]
    if handshake is not None and handshake.close_code is not None:
        remarks.append(f"quic_close:{handshake.close_code:#x}")
    if (tcp := address.tcp.beside) is not None:
        tls = address.tls.beside
        if tcp.failure is not None:
            remarks.append("tcp_fails_too")
        elif tls is not None and not reached(tls_kind(tls)):
            remarks.append("tls_fails_too")
        else:
            remarks.append("tcp_works")
    if contrasts.residual_possible:
        remarks.append("residual_possible")
    return tuple(remarks)


_ICMP = (Kind.UNREACHABLE, Kind.PROHIBITED, Kind.REFUSED)
QUIC_RULES: tuple[Rule[QUICFacts], ...] = (
    forged_answer(Layer.QUIC),
    Rule(
        "quic.certificate_valid",
        lambda handshake: handshake.kind is Kind.OK,
        State.OK,
        "The handshake was completed, with a valid certificate for the name.",
    ),
    Rule(
        "quic.repeat_valid",
        lambda handshake: handshake.repeated,
        State.OK,
        "A second attempt from a fresh port completed the handshake: loss, not a block.",
        evidence=("transient",),
    ),
    family_broken(Layer.QUIC),
    local_refusal(Layer.QUIC),
    machine_late(Layer.QUIC),
    Rule(
        "quic.control_fails_too",
        lambda handshake: handshake.reach.fails_too,
        State.DOWN,
        "The control fails in the same way: closed port, no QUIC there, expired certificate.",
    ),
    Rule(
        "quic.icmp",
        lambda handshake: handshake.kind in _ICMP,
        State.INCONCLUSIVE,
        "ICMP reports that the address is unreachable, while the control's handshake passes. "
        "Firewalls of homes and offices refuse QUIC so, as a closed port does; no known blocking "
        "technique does.",
    ),
    Rule(
        "quic.foreign_certificate",
        lambda handshake: handshake.kind in CERTIFICATE_KINDS or handshake.kind is Kind.DATES,
        State.INCONCLUSIVE,
        "Someone else's certificate over QUIC, where the control sees a valid one. No known "
        "blocking technique does so; TLS to the same service shows more.",
        evidence=("foreign_certificate",),
    ),
    Rule(
        "quic.no_quic_here",
        lambda handshake: handshake.silent and handshake.contrasts.no_quic_here,
        State.INCONCLUSIVE,
        "Our own reflector gives no answer over QUIC either, and nor does anything else that was "
        "tried: this network lets no QUIC through, as many homes and offices do.",
        evidence=("no_quic_here",),
    ),
    udp_at_times(Layer.QUIC),
    background_fails(Layer.QUIC),
    line_unseen(Layer.QUIC),
    Rule(
        "quic.timeout.sni",
        lambda handshake: handshake.silent and handshake.contrasts.by_name,
        State.BLOCKED,
        "QUIC handshakes get no answer for the service's name only: another name to the same "
        "address passes, or our name to our own host fails too, where an innocuous one passes, "
        "while other QUIC passes. (typed)",
        Technique.QUIC_TIMEOUT_SNI,
        3_100_000,
    ),
    Rule(
        "quic.timeout",
        lambda handshake: handshake.silent and handshake.contrasts.whatever_name,
        State.BLOCKED,
        "QUIC handshakes with this address get no answer, whatever the name, while other QUIC "
        "passes and the control's does. `tcp_works` says that only QUIC is blocked. (low)",
        Technique.QUIC_TIMEOUT,
        700_000,
    ),
    Rule(
        "quic.untold",
        lambda handshake: handshake.silent and handshake.contrasts.quic_passes,
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
