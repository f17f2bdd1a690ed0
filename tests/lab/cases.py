"""The twelve cases as data: what the ISP (or the world) does, and what must be said of it."""

from __future__ import annotations

from dataclasses import dataclass

_TLS = ("tls", "https")
_ANY = ("tls", "https", "http")
_WORKS = ("tls.certificate_valid", "http.same_answer", "http.answered", "http.repeat_answered")


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
    """Remarks one of which must be there."""
    everyone: bool = False
    """It concerns every service: there is no bystander, though some may not feel it."""

    @property
    def accuses(self) -> bool:
        """Somebody blocks."""
        return self.state == "blocked"


CASES: tuple[Case, ...] = (
    Case(
        "dns.nxdomain",
        "blocked",
        ("dns.nxdomain",),
        "dns.nxdomain",
        _ANY,
        evidence=("on_path", "lying_resolver"),
    ),
    Case(
        "dns.injected_first",
        "blocked",
        ("dns.injected",),
        "dns.injection.other",
        evidence=("on_path",),
    ),
    Case(
        "dns.bogon",
        "blocked",
        ("dns.bogon",),
        "dns.injection.bogon",
        _ANY,
        evidence=("on_path", "lying_resolver"),
    ),
    Case("tcp.drop", "blocked", ("tcp.timeout",), "tcp.timeout", _ANY),
    Case("tcp.reset", "blocked", ("tcp.reset",), "tcp.reset", _ANY),
    Case("tls.reset", "blocked", ("tls.reset.sni",), "tls.reset.sni"),
    Case("tls.drop", "blocked", ("tls.timeout.sni",), "tls.timeout.sni"),
    Case(
        "tls.foreign_certificate",
        "blocked",
        ("tls.mitm.ca_signed",),
        "tls.mitm.ca_signed",
    ),
    Case("http.block_page", "blocked", ("http.blockpage",), "http.blockpage", ("http",)),
    Case("service_down", "down", ("tcp.control_fails_too",), None, _ANY),
    Case(
        "vantage_offline",
        "vantage_offline",
        ("vantage.resolver_dead",),
        None,
        _ANY,
        everyone=True,
    ),
    Case("geographic_dns", "ok", ("tls.certificate_valid",), None, _TLS, geographic=True),
)
MORE: tuple[Case, ...] = (
    Case("dns.refused", "blocked", ("dns.refused",), "dns.refused", _ANY),
    Case("dns.servfail", "blocked", ("dns.servfail",), "dns.servfail", _ANY),
    Case("dns.empty", "blocked", ("dns.empty",), "dns.empty", _ANY),
    Case("dns.drop", "blocked", ("dns.timeout",), "dns.timeout", _ANY),
    Case(
        "dns.other",
        "blocked",
        ("dns.foreign_certificate", "dns.injected"),
        "dns.injection.other",
        evidence=("on_path", "lying_resolver"),
    ),
    Case("tcp.admin_prohibited", "blocked", ("tcp.prohibited",), "tcp.unreachable", _ANY),
    Case("tcp.port_unreachable", "blocked", ("tcp.unreachable",), "tcp.unreachable", _ANY),
    Case("tcp.family", "impaired", ("tcp.timeout",), "tcp.timeout", _ANY),
    Case("tls.eof", "blocked", ("tls.eof.sni",), "tls.eof.sni"),
    Case("tls.alert", "blocked", ("tls.alert.sni",), "tls.alert.sni"),
    Case("tls.page", "blocked", ("tls.http_response",), "tls.http_response"),
    Case("tls.address", "blocked", ("tls.timeout.other",), "tls.timeout.other"),
    Case("http.451", "blocked", ("http.451",), "http.451", ("http",)),
    Case("http.redirect", "blocked", ("http.redirect",), "http.redirect", ("http",)),
    Case("http.reset", "blocked", ("http.reset.host",), "http.reset.host", ("http",)),
    Case("http.drop", "blocked", ("http.timeout.host",), "http.timeout.host", ("http",)),
    Case("v6_broken", "ok", _WORKS, None, _ANY, everyone=True),
    Case("slow", "ok", _WORKS, None, _ANY, everyone=True),
    Case("loss", "ok", _WORKS, None, _ANY, everyone=True),
    Case("portal", "vantage_offline", ("vantage.captive_portal",), None, _TLS, everyone=True),
    Case("interception", "inconclusive", ("vantage.tls_interception",), None, everyone=True),
    Case("allow_list", "inconclusive", ("vantage.allow_list_network",), None, everyone=True),
)
"""Further cases, played by the bench alone: they are slow, or rest on chance."""
BY_NAME = {case.name: case for case in (*CASES, *MORE)}
