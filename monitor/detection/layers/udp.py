# SPDX-License-Identifier: Apache-2.0
"""The rules for one exchange over UDP (STUN). Many homes and offices let no UDP through, so a
missing answer accuses only where another host answered over UDP at the same port.
"""

from __future__ import annotations

from monitor.detection.layers.app import AppFacts
from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.kinds import Kind
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

_TOLD = (Kind.UNREACHABLE, Kind.PROHIBITED, Kind.REFUSED, Kind.RESET)
UDP_RULES: tuple[Rule[AppFacts], ...] = (
    forged_answer(Layer.UDP),
    Rule(
        "udp.answered",
        lambda exchange: exchange.kind is Kind.OK,
        State.OK,
        "A server of the protocol answered. Such an answer does not prove whose server it is.",
    ),
    Rule(
        "udp.repeat_answered",
        lambda exchange: exchange.repeated,
        State.OK,
        "A second attempt from a fresh port was answered: loss, not a block.",
        evidence=("transient",),
    ),
    family_broken(Layer.UDP),
    local_refusal(Layer.UDP),
    machine_late(Layer.UDP),
    Rule(
        "udp.control_fails_too",
        lambda exchange: exchange.reach.fails_too,
        State.DOWN,
        "The control fails in the same way: the port is closed, or the server is down.",
    ),
    Rule(
        "udp.told",
        lambda exchange: exchange.kind in _TOLD,
        State.INCONCLUSIVE,
        "ICMP reports that it is unreachable, while the control gets an answer. Firewalls that "
        "prohibit all UDP do so too, so no technique is named.",
        evidence=("udp_refused",),
    ),
    Rule(
        "udp.no_udp_here",
        lambda exchange: exchange.kind is Kind.TIMEOUT and not exchange.udp_passes,
        State.INCONCLUSIVE,
        "No answer, and no other host answered over UDP at this port: many networks let none "
        "through.",
        evidence=("no_udp_here",),
    ),
    Rule(
        "udp.only_listed",
        lambda exchange: exchange.kind is Kind.TIMEOUT and exchange.only_listed,
        State.INCONCLUSIVE,
        "No answer, and none of many services is reached over TCP either: that a liveness host "
        "answers over UDP shows no more than that it is on this network's list.",
        evidence=("only_listed",),
    ),
    udp_at_times(Layer.UDP),
    Rule(
        "udp.lossy_there",
        lambda exchange: exchange.kind is Kind.TIMEOUT and exchange.lossy_there,
        State.INCONCLUSIVE,
        "No answer, and the control was answered only to a second request: a server that has more "
        "requests than it can answer loses them from wherever they come.",
        evidence=("lossy_there",),
    ),
    background_fails(Layer.UDP),
    line_unseen(Layer.UDP),
    Rule(
        "udp.timeout",
        lambda exchange: exchange.kind is Kind.TIMEOUT,
        State.BLOCKED,
        "No answer to the request and its repeats, where the control gets one and other hosts "
        "answer this vantage over UDP at the same port. (low)",
        Technique.UDP_TIMEOUT,
        700_000,
    ),
    Rule(
        "udp.unclear",
        lambda _: True,
        State.INCONCLUSIVE,
        "Something else answered, or it failed in a way that no other rule covers.",
    ),
)
