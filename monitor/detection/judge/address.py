# SPDX-License-Identifier: Apache-2.0
"""The judgement of one address: the rules of each step, as long as the steps before it worked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from monitor.detection.judge.beside_control import STRONG, Outcome, inconclusive, outcome_of
from monitor.detection.layers.app import APP_RULES, app_facts, over_udp, page_facts
from monitor.detection.layers.http import HTTP_RULES, http_facts
from monitor.detection.layers.nearer import nearer_remarks, refusal_remarks
from monitor.detection.layers.quic import QUIC_RULES, quic_facts
from monitor.detection.layers.tcp import TCP_RULES, tcp_facts
from monitor.detection.layers.throttle import THROTTLE_RULES, transfer_facts
from monitor.detection.layers.tls import TLS_RULES, tls_facts
from monitor.detection.layers.tls_contrasts import (
    NAME_FAILS_ANYWHERE,
    NAME_PASSES_AT_OURS,
    name_fails_anywhere,
    name_passes_at_ours,
)
from monitor.detection.layers.udp import UDP_RULES
from monitor.detection.layers.working import needed_layer
from monitor.detection.model import Layer, State
from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.path import path_remarks
from monitor.detection.observed.same_port import other_port_remarks
from monitor.detection.observed.view import AddressView

UNSEEN = "unseen_address"
"""Evidence that an accusation is weak, and no control saw the address."""


@dataclass(frozen=True)
class AddressJudgement:
    """All steps at one address."""

    address: str
    own: bool
    """The vantage's own resolver (or the catalogue) gave it."""
    outcomes: tuple[Outcome, ...]
    needed: Layer
    """The step that every address of this protocol must pass to count as working."""
    unseen: bool = False
    """It is accused, and no control saw it."""

    @property
    def state(self) -> State:
        """OK, or the state of the first step that was not; insufficient when the needed step was
        not tried. After a step at which a share of the connections is blocked the next steps count
        too, and the state is impaired."""
        for outcome in self.outcomes:
            if outcome.state is not State.OK and not outcome.partial:
                return outcome.state
        if any(outcome.state is State.BLOCKED for outcome in self.outcomes):
            return State.IMPAIRED
        return State.OK if self.tried else State.INSUFFICIENT

    @property
    def tried(self) -> bool:
        """The needed step was tried."""
        return any(outcome.layer is self.needed for outcome in self.outcomes)

    @property
    def begun(self) -> bool:
        """Every step that was tried passed, and the needed one was not tried."""
        passed = all(outcome.state is State.OK for outcome in self.outcomes)
        return bool(self.outcomes) and passed and not self.tried


def judge_address(
    context: EndpointContext, address: AddressView, own: bool, forged: bool
) -> AddressJudgement:
    """Judge one address. `own`: the vantage's own resolver gave it; `forged`: in an answer that is
    itself judged forged."""
    outcomes: list[Outcome] = []
    for step in _STEPS:
        outcome = step(context, address, forged)
        if outcome is not None:
            outcomes.append(outcome)
            if outcome.state is not State.OK and not outcome.partial:
                break  # the steps after it cannot count
    return AddressJudgement(
        address.address,
        own,
        tuple(outcomes),
        needed_layer(context.endpoint),
        any(o.state is State.BLOCKED for o in outcomes) and context.unseen(address),
    )


def _tcp(context: EndpointContext, address: AddressView, forged: bool) -> Outcome | None:
    tcp = tcp_facts(context, address, forged)
    if tcp is None:
        return None
    remarks = (
        *tcp.icmp,
        *refusal_remarks(tcp.kind, address.paths),
        *other_port_remarks(context, address, tcp.kind),
    )
    return outcome_of(TCP_RULES, Layer.TCP, tcp, tcp.reach, tcp.here, remarks, tcp.some_flows)


def _tls(context: EndpointContext, address: AddressView, forged: bool) -> Outcome | None:
    tls = tls_facts(context, address, forged)
    if tls is None:
        return None
    certificate = tls.certificate
    dies_anywhere = name_fails_anywhere(context, tls.contrasts)
    remarks = (
        *(("system_root",) if certificate.system_root else ()),
        *((f"blockpage:{certificate.page}",) if certificate.page else ()),
        *path_remarks(tls.kind, address.paths),
        *nearer_remarks(address, tls.kind, address.tls.ended(tls.kind)),
        *(("residual_possible",) if tls.contrasts.residual_possible else ()),
        *((NAME_FAILS_ANYWHERE,) if certificate.our_name_alone or dies_anywhere else ()),
        *((NAME_PASSES_AT_OURS,) if name_passes_at_ours(tls.contrasts) else ()),
        *((UNSEEN,) if certificate.unseen and certificate.is_untold else ()),
    )
    return outcome_of(TLS_RULES, Layer.TLS, tls, tls.reach, tls.here, remarks, tls.some_flows)


def _transfers(context: EndpointContext, address: AddressView, forged: bool) -> Outcome | None:
    speed = transfer_facts(context, address, forged)
    if speed is None:
        return None
    control = speed.control
    outcome = outcome_of(THROTTLE_RULES, Layer.TLS, speed, control.reach, control.here)
    return replace(outcome, cuts=outcome.accuses and speed.own.dead is not None)


def _quic(context: EndpointContext, address: AddressView, forged: bool) -> Outcome | None:
    quic = quic_facts(context, address, forged)
    if quic is None:
        return None
    return outcome_of(QUIC_RULES, Layer.QUIC, quic, quic.reach, quic.here, quic.evidence)


def _http(context: EndpointContext, address: AddressView, forged: bool) -> Outcome | None:
    http = http_facts(context, address, forged)
    if http is None:
        return None
    answer = http.answer
    remarks = (
        *((f"blockpage:{page}",) if (page := answer.page or answer.page_abroad) else ()),
        *(("by_service",) if answer.proven and http.kind is Kind.OK else ()),
        *nearer_remarks(address, http.kind, address.http.ended(http.kind)),
    )
    return outcome_of(HTTP_RULES, Layer.HTTP, http, http.reach, http.here, remarks, http.some_flows)


def _app(context: EndpointContext, address: AddressView, forged: bool) -> Outcome | None:
    """A block page in place of the app's answer is judged by the rules of HTTP."""
    app = app_facts(context, address, forged)
    if app is None:
        return None
    if (page := page_facts(app)) is not None:
        remarks = (f"blockpage:{page.answer.page}",)
        return outcome_of(HTTP_RULES, Layer.HTTP, page, page.reach, page.here, remarks)
    if over_udp(address):
        return outcome_of(UDP_RULES, Layer.UDP, app, app.reach, app.here, app.remarks)
    return outcome_of(APP_RULES, Layer.APP, app, app.reach, app.here, app.remarks)


JudgedStep = Callable[[EndpointContext, AddressView, bool], Outcome | None]
_STEPS: tuple[JudgedStep, ...] = (_tcp, _tls, _transfers, _quic, _http, _app)
"""In the order in which an app takes them; None where one was not taken."""


def without_unseen_accusations(
    judged: Sequence[AddressJudgement],
) -> tuple[AddressJudgement, ...]:
    """The judgements without weak accusations of addresses that no control saw. That a control
    passed at other addresses says nothing of these: they may be servers for this region that are
    down or overloaded. Where the same happens at an address that controls passed, they count."""
    told = {o.rule for a in judged if not a.unseen for o in a.outcomes if o.state is State.BLOCKED}
    return tuple(
        replace(
            a,
            outcomes=tuple(
                o if o.weight > STRONG or o.rule in told else inconclusive(o, UNSEEN)
                for o in a.outcomes
            ),
        )
        if a.unseen
        else a
        for a in judged
    )


def without_weak_accusations(judged: AddressJudgement) -> AddressJudgement:
    """The judgement where other addresses work. An address that the control did not measure may be
    a server of another region that is down: only a strong signature accuses it."""
    return replace(
        judged,
        outcomes=tuple(
            o if o.here or o.weight > STRONG else inconclusive(o) for o in judged.outcomes
        ),
    )
