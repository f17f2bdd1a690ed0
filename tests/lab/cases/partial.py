"""A part is blocked: some addresses, endpoints or connections, one protocol or address family."""

from __future__ import annotations

from tests.lab.cases.case import ANY, TLS, WORKS, Case

CASES: tuple[Case, ...] = (
    Case(
        "partial.v4",
        "impaired",
        ("tcp.reset",),
        "tcp.reset",
        ANY,
        evidence=("partial:ipv4",),
    ),
    Case(
        "partial.address",
        "impaired",
        ("tcp.timeout",),
        "tcp.timeout",
        several="all_of",
        endpoints=(2, 0),
        evidence=("partial:addresses",),
    ),
    Case(
        "partial.endpoint",
        "impaired",
        ("tls.reset.sni",),
        "tls.reset.sni",
        several="any_of",
        endpoints=(3, 1),
        evidence=("partial:endpoints",),
    ),
    Case(
        "partial.protocol",
        "impaired",
        ("tcp.timeout",),
        "tcp.timeout",
        several="any_of",
        endpoints=(3, 1),
        evidence=("partial:endpoints", "partial:protocol", "protocol:http"),
    ),
    Case(
        "partial.needed",
        "blocked",
        ("tls.timeout.sni",),
        "tls.timeout.sni",
        several="all_of",
        endpoints=(2, 1),
        evidence=("partial:endpoints",),
    ),
    Case(
        "partial.most",
        "blocked",
        ("tcp.reset",),
        "tcp.reset",
        several="any_of",
        endpoints=(3, 3),
    ),
    Case(
        "partial.flows",
        "impaired",
        ("tls.reset.sni",),
        "tls.reset.sni",
        TLS,
        evidence=("partial:flows",),
    ),
    Case(
        "partial.connections",
        "impaired",
        ("tcp.reset",),
        "tcp.reset",
        ANY,
        evidence=("partial:flows",),
    ),
    Case(
        "partial.stray",
        "ok",
        ("tls.repeat_valid", *WORKS),
        None,
        TLS,
        evidence=("transient",),
    ),
    Case(
        "partial.retired",
        "ok",
        ("tls.certificate_valid", "http.same_answer"),
        None,
        several="any_of",
    ),
    Case("partial.retired_needed", "down", ("tcp.control_fails_too",), None, several="all_of"),
)
