"""The first twelve."""

from __future__ import annotations

from tests.lab.cases.case import ANY, DOWN, DRAWN, GONE, TLS, Case

CASES: tuple[Case, ...] = (
    Case("dns.nxdomain", "blocked", ("dns.nxdomain",), "dns.nxdomain", ANY, origin=DRAWN),
    Case(
        "dns.injected_first",
        "blocked",
        ("dns.injected",),
        "dns.injection.other",
        origin="on_path",
    ),
    Case("dns.bogon", "blocked", ("dns.bogon",), "dns.injection.bogon", ANY, origin=DRAWN),
    Case("tcp.drop", "blocked", ("tcp.timeout",), "tcp.timeout", ANY, evidence=("partial:port",)),
    Case("tcp.reset", "blocked", ("tcp.reset",), "tcp.reset", ANY),
    Case("tls.reset", "blocked", ("tls.reset.sni",), "tls.reset.sni"),
    Case("tls.drop", "blocked", ("tls.timeout.sni",), "tls.timeout.sni"),
    Case("tls.foreign_certificate", "blocked", ("tls.mitm.ca_signed",), "tls.mitm.ca_signed"),
    Case("http.block_page", "blocked", ("http.blockpage",), "http.blockpage", ("http",)),
    Case("service_down", "down", DOWN, None, ANY),
    Case("vantage_offline", "vantage_offline", GONE, None, ANY, everyone=True),
    Case("geographic_dns", "ok", ("tls.certificate_valid",), None, TLS, geographic=True),
)
