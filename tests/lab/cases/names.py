"""Interference with names."""

from __future__ import annotations

from tests.lab.cases.case import ANY, DRAWN, Case

_FORGED = ("dns.foreign_certificate", "dns.injected")
CASES: tuple[Case, ...] = (
    Case("dns.refused", "blocked", ("dns.refused",), "dns.refused", ANY, origin=DRAWN),
    Case("dns.servfail", "blocked", ("dns.servfail",), "dns.servfail", ANY, origin=DRAWN),
    Case("dns.empty", "blocked", ("dns.empty",), "dns.empty", ANY, origin=DRAWN),
    Case("dns.drop", "blocked", ("dns.timeout",), "dns.timeout", ANY),
    Case(
        "dns.blockpage",
        "blocked",
        ("dns.blockpage",),
        "dns.injection.blockpage",
        ANY,
        evidence=("blockpage:en.blocked_by_order",),
        origin=DRAWN,
    ),
    Case("dns.isp_zone", "blocked", ("dns.nxdomain",), "dns.nxdomain", ANY, origin=DRAWN),
    Case("dns.alias", "blocked", ("dns.blockpage",), "dns.injection.blockpage", origin=DRAWN),
    Case(
        "dns.family",
        "impaired",
        _FORGED,
        "dns.injection.other",
        evidence=("partial:ipv6",),
    ),
    Case(
        "dns.dead",
        "blocked",
        ("dns.forged_below", "dns.injected"),
        "dns.injection.other",
        ANY,
        origin=DRAWN,
    ),
    Case(
        "dns.exact",
        "blocked",
        ("dns.dead_answer",),
        "dns.injection.other",
        ANY,
        origin="lying_resolver",
    ),
    Case(
        "dns.sinkhole",
        "blocked",
        ("dns.forged_below",),
        "dns.injection.other",
        ("http",),
        origin="lying_resolver",
    ),
    Case(
        "dns.pool", "blocked", ("dns.forged_below",), "dns.injection.other", ANY, origin="on_path"
    ),
    Case("dns.truncated", "blocked", ("dns.timeout",), "dns.timeout", ANY),
    Case("dns.sealed", "blocked", ("dns.nxdomain",), "dns.nxdomain", ANY, origin="on_path"),
    Case("dns.other", "blocked", _FORGED, "dns.injection.other", origin=DRAWN),
    Case("dns.on_path", "blocked", _FORGED, "dns.injection.other", origin="on_path"),
    Case("dns.lying_resolver", "blocked", _FORGED, "dns.injection.other", origin="lying_resolver"),
)
