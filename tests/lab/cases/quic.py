"""Interference with QUIC, and networks and servers without it."""

from __future__ import annotations

from tests.lab.cases.case import Case

_ONLY = ("quic",)
_WORKS = ("quic.certificate_valid", "quic.repeat_valid")
_DOWN = ("quic.control_fails_too",)
_BY_NAME, _BY_ADDRESS = "quic.timeout.sni", "quic.timeout"
CASES: tuple[Case, ...] = (
    Case("quic.sni_drop", "blocked", (_BY_NAME,), _BY_NAME, _ONLY, evidence=("tcp_works",)),
    Case("quic.sni_late", "blocked", (_BY_NAME,), _BY_NAME, _ONLY, evidence=("tcp_works",)),
    Case(
        "quic.residual",
        "blocked",
        (_BY_NAME,),
        _BY_NAME,
        _ONLY,
        evidence=("residual_possible", "tcp_works"),
    ),
    Case("quic.drop", "blocked", (_BY_ADDRESS,), _BY_ADDRESS, _ONLY, evidence=("tcp_works",)),
    Case("quic.family", "impaired", (_BY_ADDRESS,), _BY_ADDRESS, _ONLY),
    Case(
        "quic.nowhere",
        "inconclusive",
        ("quic.no_quic_here",),
        None,
        _ONLY,
        evidence=("no_quic_here", "tcp_works"),
    ),
    Case("quic.refused", "inconclusive", ("quic.icmp",), None, _ONLY, evidence=("icmp:3/3",)),
    Case(
        "quic.few",
        "inconclusive",
        ("quic.at_times",),
        None,
        _ONLY,
        evidence=("tcp_works", "udp_at_times"),
        or_bystander="inconclusive",
    ),
    Case("quic.closed", "down", _DOWN, None, _ONLY),
    Case("quic.silent", "down", _DOWN, None, _ONLY),
    Case("quic.expired", "down", _DOWN, None, _ONLY),
    Case("quic.loss", "ok", _WORKS, None, _ONLY),
)
