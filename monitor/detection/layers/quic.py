# SPDX-License-Identifier: Apache-2.0
"""Rules over one QUIC handshake with the service's name. Its first datagrams name the service in
what anyone on the path can read, and a censor drops them (Russia since 2023, China since 2024);
but many homes and offices drop all of UDP 443, and then nobody is accused.
"""

from __future__ import annotations

from monitor.detection.facts.kinds import CERTIFICATE_KINDS, Kind
from monitor.detection.facts.tcp_tls_http import Reach
from monitor.detection.layers.quic_facts import QUICFacts
from monitor.detection.model import Layer, State, Technique
from monitor.detection.rule import Rule

_QUIC = Layer.QUIC
_ICMP = (Kind.UNREACHABLE, Kind.PROHIBITED, Kind.REFUSED)

QUIC_RULES: tuple[Rule[QUICFacts], ...] = (
    Rule(
        "quic.answer_accused",
        _QUIC,
        lambda f: f.accused,
        State.INSUFFICIENT,
        "The address comes from a forged DNS answer: it is the DNS that is judged.",
    ),
    Rule(
        "quic.certificate_valid",
        _QUIC,
        lambda f: f.kind is Kind.OK,
        State.OK,
        "The handshake was confirmed, with a valid certificate for the name.",
    ),
    Rule(
        "quic.repeat_valid",
        _QUIC,
        lambda f: f.repeated,
        State.OK,
        "A second attempt from a fresh port shook hands: loss, not a block.",
        evidence=("transient",),
    ),
    Rule(
        "quic.family_broken",
        _QUIC,
        lambda f: f.family_dead,
        State.VANTAGE_OFFLINE,
        "No liveness host was reached over this address family either: broken IPv6 (or IPv4).",
    ),
    Rule(
        "quic.local",
        _QUIC,
        lambda f: f.kind is Kind.LOCAL,
        State.INCONCLUSIVE,
        "This machine itself refused, without a word from the network: a local firewall.",
        evidence=("local_refusal",),
    ),
    Rule(
        "quic.control_fails_too",
        _QUIC,
        lambda f: f.reach is Reach.SAME,
        State.DOWN,
        "The control fails in the same way: closed port, no QUIC there, expired certificate.",
    ),
    Rule(
        "quic.icmp",
        _QUIC,
        lambda f: f.kind in _ICMP,
        State.INCONCLUSIVE,
        "ICMP says that nothing gets there, where the control gets through. Firewalls of homes and "
        "offices refuse QUIC so, as a closed port does; no technique is known that does.",
    ),
    Rule(
        "quic.foreign_certificate",
        _QUIC,
        lambda f: f.kind in CERTIFICATE_KINDS or f.kind is Kind.DATES,
        State.INCONCLUSIVE,
        "Someone else's certificate over QUIC, where the control sees a valid one. Nobody is known "
        "to interfere so; TLS to the same service tells more.",
        evidence=("foreign_certificate",),
    ),
    Rule(
        "quic.no_quic_here",
        _QUIC,
        lambda f: f.silent and f.no_quic_here,
        State.INCONCLUSIVE,
        "Our own reflector is met with silence over QUIC as well, and so is everything else that "
        "was tried: this network lets no QUIC through, as many homes and offices do.",
        evidence=("no_quic_here",),
    ),
    Rule(
        "quic.timeout.sni",
        _QUIC,
        lambda f: f.silent and f.by_name,
        State.BLOCKED,
        "QUIC handshakes are met with silence for the service's name only: another name to the "
        "same address passes, or our name to our own host dies too though other QUIC passes. "
        "(typed)",
        Technique.QUIC_TIMEOUT_SNI,
        3_100_000,
    ),
    Rule(
        "quic.timeout",
        _QUIC,
        lambda f: f.silent and f.whatever_name,
        State.BLOCKED,
        "QUIC handshakes with this address are met with silence whatever the name, while other "
        "QUIC passes and the control's does. `tcp_works` says that only QUIC is cut off. (low)",
        Technique.QUIC_TIMEOUT,
        700_000,
    ),
    Rule(
        "quic.untold",
        _QUIC,
        lambda f: f.silent and f.quic_passes,
        State.BLOCKED,
        "QUIC handshakes with this address are met with silence, while other QUIC passes and the "
        "control's does; whether by name or by address was not seen, so no technique is named. "
        "(low)",
        None,
        500_000,
    ),
    Rule(
        "quic.unclear",
        _QUIC,
        lambda _: True,
        State.INCONCLUSIVE,
        "The handshake failed in a way that these rules do not know, or silence that nothing else "
        "over QUIC explains: whether any passes here was not seen.",
    ),
)
