"""Interference with addresses."""

from __future__ import annotations

from tests.lab.cases.case import ANY, Case

CASES: tuple[Case, ...] = (
    Case(
        "tcp.host",
        "blocked",
        ("tcp.timeout",),
        "tcp.timeout",
        ANY,
        evidence=("other_port_fails",),
    ),
    Case("tcp.near_and_far", "blocked", ("tcp.timeout",), "tcp.timeout", geographic=True),
    Case(
        "tcp.admin_prohibited",
        "blocked",
        ("tcp.prohibited",),
        "tcp.unreachable",
        ANY,
        evidence=("icmp:3/13", "icmp:1/1"),
    ),
    Case(
        "tcp.host_prohibited",
        "blocked",
        ("tcp.prohibited",),
        "tcp.unreachable",
        ANY,
        evidence=("icmp:3/10", "icmp:1/5"),
    ),
    Case(
        "tcp.port_unreachable",
        "blocked",
        ("tcp.unreachable",),
        "tcp.unreachable",
        ANY,
        evidence=("icmp:3/3", "icmp:1/4"),
    ),
    Case(
        "tcp.host_unreachable",
        "blocked",
        ("tcp.unreachable",),
        "tcp.unreachable",
        ANY,
        evidence=("icmp:3/1", "icmp:1/3"),
    ),
    Case(
        "tcp.net_unreachable",
        "blocked",
        ("tcp.unreachable",),
        "tcp.unreachable",
        ANY,
        evidence=("icmp:3/0", "icmp:1/0"),
    ),
    Case(
        "tcp.family",
        "impaired",
        ("tcp.timeout",),
        "tcp.timeout",
        ANY,
        evidence=("partial:ipv6",),
    ),
    Case(
        "tcp.one_address",
        "impaired",
        ("tcp.timeout",),
        "tcp.timeout",
        ANY,
    ),
)
