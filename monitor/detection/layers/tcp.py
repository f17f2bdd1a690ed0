# SPDX-License-Identifier: Apache-2.0
"""TCP to one address: what is read, and the rules. A bare timeout is the most common failure
without blocking, so it has a low weight."""

from __future__ import annotations

from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.background import Step
from monitor.detection.observed.by_chance import attempts_by_chance
from monitor.detection.observed.endpoint_context import EndpointContext, StepFacts
from monitor.detection.observed.kinds import Kind, icmp_evidence, partial_loss, tcp_kind
from monitor.detection.observed.same_port import port_shut
from monitor.detection.observed.view import AddressView
from monitor.detection.rule import (
    Rule,
    background_fails,
    family_broken,
    forged_answer,
    line_unseen,
    local_refusal,
    machine_late,
)

_LINE_AWAY = (Kind.TIMEOUT, Kind.UNREACHABLE)
"""How connects end where the line is away, or the router at its other end has no way."""
_CUT = (Kind.RESET, Kind.TIMEOUT, Kind.PROHIBITED, Kind.UNREACHABLE)


class TCPFacts(StepFacts, frozen=True, kw_only=True):
    """One address, as far as TCP goes."""

    family_dead: bool = False
    """No liveness host was reached over this address family."""
    accused: bool = False
    """The DNS answer that gave this address is itself judged forged."""
    icmp: tuple[str, ...] = ()
    port_shut: bool = False
    """Innocuous hosts fail in the same way at this port."""
    some_flows: bool = False
    """Many of several connections failed so, and others were established."""


def tcp_facts(context: EndpointContext, address: AddressView, accused: bool) -> TCPFacts | None:
    """Return the facts of TCP at one address; None when it was not tried."""
    connect = address.tcp.subject
    if connect is None:
        return None
    kind = tcp_kind(connect)
    here = [p.tcp.kind for p in context.at_controls(address) if p.tcp.tried]
    proof = kind is Kind.PROHIBITED
    there = here or [p.tcp.kind for p in context.compared(address, proof) if p.tcp.tried]
    by_chance = attempts_by_chance(context, kind, Step.CONNECT, address, lambda p: p.tcp.kinds)
    return TCPFacts(
        kind=kind,
        reach=context.reach(kind, there),
        here=Kind.OK in here,
        repeated=address.tcp.repeated or address.tls.tried or address.http.tried,
        by_chance=by_chance,
        line_unseen=kind in _LINE_AWAY
        and context.line_unseen(
            address.family, [*address.tcp.unanswered, *address.tcp.ended(Kind.UNREACHABLE)]
        ),
        family_dead=context.family_dead(address),
        accused=accused,
        icmp=icmp_evidence(connect),
        port_shut=port_shut(context, address, kind),
        some_flows=kind in _CUT
        and not by_chance
        and partial_loss(kind, address.tcp.kinds)
        and not context.control_fails(kind, lambda p: p.tcp.kinds),
    )


TCP_RULES: tuple[Rule[TCPFacts], ...] = (
    forged_answer(Layer.TCP),
    Rule(
        "tcp.connected",
        lambda connect: connect.kind is Kind.OK,
        State.OK,
        "The connection was established.",
    ),
    Rule(
        "tcp.repeat_connected",
        lambda connect: connect.repeated and not connect.some_flows,
        State.OK,
        "Another attempt from a fresh port connected: packet loss or load, not a block.",
        evidence=("transient",),
    ),
    family_broken(Layer.TCP),
    local_refusal(Layer.TCP),
    machine_late(Layer.TCP),
    Rule(
        "tcp.control_fails_too",
        lambda connect: connect.reach.fails_too,
        State.DOWN,
        "The control fails in the same way, or before.",
    ),
    Rule(
        "tcp.port_shut",
        lambda connect: connect.port_shut,
        State.INCONCLUSIVE,
        "Innocuous hosts, which answer a control at this port, fail in the same way: this network "
        "lets no connection to such a port out, as many offices do, or only those to some hosts.",
        evidence=("port_shut",),
    ),
    Rule(
        "tcp.prohibited",
        lambda connect: connect.kind is Kind.PROHIBITED,
        State.BLOCKED,
        "A router reports by ICMP that an administrator prohibits it. (typed)",
        Technique.TCP_UNREACHABLE,
        3_100_000,
    ),
    background_fails(Layer.TCP),
    line_unseen(Layer.TCP),
    Rule(
        "tcp.reset",
        lambda connect: connect.kind is Kind.RESET,
        State.BLOCKED,
        "RST in answer to the SYN, while the control connects. Closed ports and overloaded servers "
        "do so too, for everyone, and a firewall on the way for some. (fit: tcp fail_ctrl_ok "
        "+1.52, halved)",
        Technique.TCP_RESET,
        1_800_000,
    ),
    Rule(
        "tcp.refused",
        lambda connect: connect.kind is Kind.REFUSED,
        State.BLOCKED,
        "Refused, where RST and ICMP cannot be distinguished. (fit: tcp fail_ctrl_ok, halved)",
        Technique.TCP_REFUSED,
        1_800_000,
    ),
    Rule(
        "tcp.unreachable",
        lambda connect: connect.kind is Kind.UNREACHABLE,
        State.BLOCKED,
        "ICMP unreachable or no route, while the control connects. Routing faults look the same. "
        "(low)",
        Technique.TCP_UNREACHABLE,
        1_000_000,
    ),
    Rule(
        "tcp.timeout",
        lambda connect: connect.kind is Kind.TIMEOUT,
        State.BLOCKED,
        "No answer to the SYN and its repeats, while the control connects. A peering fault looks "
        "the same, so such events take longer to confirm. (low)",
        Technique.TCP_TIMEOUT,
        500_000,
    ),
    Rule(
        "tcp.unclear",
        lambda _: True,
        State.INCONCLUSIVE,
        "It failed in a way that no other rule covers.",
    ),
)
