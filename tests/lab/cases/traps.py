"""Censors and resolvers whose traces mislead whoever measures carelessly."""

from __future__ import annotations

from tests.lab.cases.case import ANY, WORKS, Case

_ON_PATH = ("acts_at_hop:2",)
CASES: tuple[Case, ...] = (
    Case("trap.residual", "blocked", ("tls.reset.sni",), "tls.reset.sni"),
    Case("trap.second_round", "blocked", ("tls.reset.sni",), "tls.reset.sni", rounds=2),
    Case("trap.race", "blocked", ("tls.reset.sni",), "tls.reset.sni", evidence=_ON_PATH),
    Case("trap.late_reset", "blocked", ("tls.reset.sni",), "tls.reset.sni"),
    Case("trap.around", "blocked", ("dns.injected",), "dns.injection.other", origin="on_path"),
    Case(
        "trap.two_answers",
        "impaired",
        ("dns.foreign_certificate",),
        "dns.injection.other",
        evidence=("lying_resolver", "partial:ipv4"),
    ),
    Case("trap.strict", "blocked", ("tls.reset.sni",), "tls.reset.sni"),
    Case("trap.near_name", "blocked", ("tls.reset.sni",), "tls.reset.sni", geographic=True),
    Case("trap.near_residual", "blocked", ("tls.reset.sni",), "tls.reset.sni", geographic=True),
    Case("trap.fin", "blocked", ("tls.eof.sni",), "tls.eof.sni"),
    Case("trap.alert", "blocked", ("tls.alert.sni",), "tls.alert.sni"),
    Case("trap.page", "blocked", ("tls.http_response",), "tls.http_response"),
    Case("trap.away", "blocked", ("http.redirect",), "http.redirect", ("http",)),
    Case("trap.deaf", "blocked", ("tls.timeout.sni",), "tls.timeout.sni"),
    Case("trap.swallow", "blocked", ("tls.timeout.sni",), "tls.timeout.sni"),
    Case(
        "trap.burst",
        "impaired",
        ("dns.injected",),
        "dns.injection.other",
        origin="on_path",
        evidence=("partial:ipv4",),
    ),
    Case(
        "trap.stall",
        "impaired",
        ("dns.injected",),
        "dns.injection.other",
        origin="on_path",
        evidence=("partial:ipv4",),
    ),
    Case("trap.two_boxes", "blocked", ("tls.reset.sni",), "tls.reset.sni"),
    Case("trap.denial", "blocked", ("dns.nxdomain",), "dns.nxdomain", ANY, origin="on_path"),
    Case("trap.failure", "blocked", ("dns.servfail",), "dns.servfail", ANY, origin="on_path"),
    Case("trap.hangs_up", "blocked", ("tls.timeout.sni",), "tls.timeout.sni"),
    Case(
        "trap.v6_name",
        "impaired",
        ("tls.reset.sni",),
        "tls.reset.sni",
        evidence=("partial:ipv6",),
    ),
    Case("trap.mid_reset", "blocked", ("tls.reset.sni_late",), "tls.reset.sni", ("https",)),
    Case("trap.little_loss", "blocked", ("tcp.timeout",), "tcp.timeout", ANY),
    Case(
        "trap.slow_line",
        "blocked",
        ("tcp.timeout",),
        "tcp.timeout",
        ANY,
        or_bystander="inconclusive",
    ),
    Case("trap.late_data", "blocked", ("tcp.timeout",), "tcp.timeout", ANY),
    Case("trap.uneven", "blocked", ("tcp.timeout",), "tcp.timeout", ANY),
    Case("trap.uneven_name", "blocked", ("tls.timeout.sni",), "tls.timeout.sni"),
    Case("trap.twice", "ok", WORKS, None, ANY, everyone=True),
)
