"""The cases as data: what the ISP (or the world) does, and what must be said of it."""

from __future__ import annotations

from dataclasses import dataclass

_TLS = ("tls", "https")
_ANY = ("tls", "https", "http")
_WORKS = ("tls.certificate_valid", "http.same_answer", "http.answered", "http.repeat_answered")
_GONE = ("vantage.resolver_dead",)
_DOWN = ("tcp.control_fails_too",)
DRAWN = "drawn"
"""Where forged answers come from is the seed's choice."""


@dataclass(frozen=True)
class Case:
    """One kind of interference, or of harmless trouble that must not be called so."""

    name: str
    state: str
    rules: tuple[str, ...]
    """Rules one of which must decide; they are part of what is promised."""
    technique: str | None = None
    protocols: tuple[str, ...] = _TLS
    """Which services it can hit."""
    geographic: bool = False
    evidence: tuple[str, ...] = ()
    """Remarks all of which must be there."""
    origin: str = ""
    """Where a forged answer came from, which must be said and nothing else: `on_path`,
    `lying_resolver`, or DRAWN."""
    everyone: bool = False
    """It concerns every service: there is no bystander, though some may not feel it."""

    @property
    def accuses(self) -> bool:
        """Somebody blocks, the whole or a part."""
        return self.technique is not None

    @property
    def part(self) -> bool:
        """Somebody blocks a part."""
        return self.state == "impaired"

    @property
    def promise(self) -> str:
        """State and technique in words: a row of the confusion matrix."""
        return label(self.state, self.technique)


def label(state: str | None, technique: str | None) -> str:
    """State and technique in words. A technique that is named without accusing is no part."""
    accuses = technique and state in ("blocked", "impaired")
    return f"{state} {technique}" if accuses else str(state)


CASES: tuple[Case, ...] = (
    Case("dns.nxdomain", "blocked", ("dns.nxdomain",), "dns.nxdomain", _ANY, origin=DRAWN),
    Case(
        "dns.injected_first",
        "blocked",
        ("dns.injected",),
        "dns.injection.other",
        origin="on_path",
    ),
    Case("dns.bogon", "blocked", ("dns.bogon",), "dns.injection.bogon", _ANY, origin=DRAWN),
    Case("tcp.drop", "blocked", ("tcp.timeout",), "tcp.timeout", _ANY),
    Case("tcp.reset", "blocked", ("tcp.reset",), "tcp.reset", _ANY),
    Case("tls.reset", "blocked", ("tls.reset.sni",), "tls.reset.sni"),
    Case("tls.drop", "blocked", ("tls.timeout.sni",), "tls.timeout.sni"),
    Case("tls.foreign_certificate", "blocked", ("tls.mitm.ca_signed",), "tls.mitm.ca_signed"),
    Case("http.block_page", "blocked", ("http.blockpage",), "http.blockpage", ("http",)),
    Case("service_down", "down", _DOWN, None, _ANY),
    Case("vantage_offline", "vantage_offline", _GONE, None, _ANY, everyone=True),
    Case("geographic_dns", "ok", ("tls.certificate_valid",), None, _TLS, geographic=True),
)
"""The first twelve."""
_FORGED = ("dns.foreign_certificate", "dns.injected")
MORE: tuple[Case, ...] = (
    # names
    Case("dns.refused", "blocked", ("dns.refused",), "dns.refused", _ANY, origin=DRAWN),
    Case("dns.servfail", "blocked", ("dns.servfail",), "dns.servfail", _ANY, origin=DRAWN),
    Case("dns.empty", "blocked", ("dns.empty",), "dns.empty", _ANY, origin=DRAWN),
    Case("dns.drop", "blocked", ("dns.timeout",), "dns.timeout", _ANY),
    Case(
        "dns.blockpage",
        "blocked",
        ("dns.blockpage",),
        "dns.injection.blockpage",
        _ANY,
        evidence=("blockpage:en.blocked_by_order",),
        origin=DRAWN,
    ),
    Case("dns.other", "blocked", _FORGED, "dns.injection.other", origin=DRAWN),
    Case("dns.on_path", "blocked", _FORGED, "dns.injection.other", origin="on_path"),
    Case("dns.lying_resolver", "blocked", _FORGED, "dns.injection.other", origin="lying_resolver"),
    # addresses
    Case(
        "tcp.admin_prohibited",
        "blocked",
        ("tcp.prohibited",),
        "tcp.unreachable",
        _ANY,
        evidence=("icmp:3/13", "icmp:1/1"),
    ),
    Case(
        "tcp.host_prohibited",
        "blocked",
        ("tcp.prohibited",),
        "tcp.unreachable",
        _ANY,
        evidence=("icmp:3/10", "icmp:1/5"),
    ),
    Case(
        "tcp.port_unreachable",
        "blocked",
        ("tcp.unreachable",),
        "tcp.unreachable",
        _ANY,
        evidence=("icmp:3/3", "icmp:1/4"),
    ),
    Case(
        "tcp.host_unreachable",
        "blocked",
        ("tcp.unreachable",),
        "tcp.unreachable",
        _ANY,
        evidence=("icmp:3/1", "icmp:1/3"),
    ),
    Case(
        "tcp.net_unreachable",
        "blocked",
        ("tcp.unreachable",),
        "tcp.unreachable",
        _ANY,
        evidence=("icmp:3/0", "icmp:1/0"),
    ),
    Case("tcp.family", "impaired", ("tcp.timeout",), "tcp.timeout", _ANY),
    Case("tcp.one_address", "impaired", ("tcp.timeout",), "tcp.timeout", _ANY),
    # handshakes
    Case("tls.eof", "blocked", ("tls.eof.sni",), "tls.eof.sni"),
    Case("tls.alert", "blocked", ("tls.alert.sni",), "tls.alert.sni"),
    Case("tls.reassembled", "blocked", ("tls.reset.sni",), "tls.reset.sni"),
    Case("tls.self_signed", "blocked", ("tls.mitm.self_signed",), "tls.mitm.self_signed"),
    Case("tls.page", "blocked", ("tls.http_response",), "tls.http_response"),
    Case("tls.address", "blocked", ("tls.timeout.other",), "tls.timeout.other"),
    Case("tls.address_reset", "blocked", ("tls.reset.other",), "tls.reset.other"),
    Case("tls.address_eof", "blocked", ("tls.eof.other",), "tls.eof.other"),
    Case("tls.address_alert", "blocked", ("tls.alert.other",), "tls.alert.other"),
    # answers
    Case("http.block_host", "blocked", ("http.blockpage",), "http.blockpage", ("http",)),
    Case("http.451", "blocked", ("http.451",), "http.451", ("http",)),
    Case("http.redirect", "blocked", ("http.redirect",), "http.redirect", ("http",)),
    Case("http.reset", "blocked", ("http.reset.host",), "http.reset.host", ("http",)),
    Case("http.drop", "blocked", ("http.timeout.host",), "http.timeout.host", ("http",)),
    # nobody's fault, or everybody's
    Case("certificate_expired", "down", ("tls.control_fails_too",)),
    Case("service_silent", "down", _DOWN, None, _ANY),
    Case("name_gone", "down", ("dns.failure_everywhere",), None, _ANY),
    Case("law_everywhere", "ok", ("http.same_answer",), None, ("https", "http")),
    Case("private_everywhere", "ok", _WORKS, None, _ANY),
    # the vantage's own trouble
    Case("uplink_dead", "vantage_offline", _GONE, None, _ANY, everyone=True),
    Case("resolver_dead", "vantage_offline", _GONE, None, _ANY, everyone=True),
    Case("v6_broken", "ok", _WORKS, None, _ANY, everyone=True),
    Case("slow", "ok", _WORKS, None, _ANY, everyone=True),
    Case("loss", "ok", _WORKS, None, _ANY, everyone=True),
    Case("portal", "vantage_offline", ("vantage.captive_portal",), None, _TLS, everyone=True),
    Case("interception", "inconclusive", ("vantage.tls_interception",), None, everyone=True),
    Case("allow_list", "inconclusive", ("vantage.allow_list_network",), None, everyone=True),
)
"""All the others."""
BY_NAME = {case.name: case for case in (*CASES, *MORE)}
