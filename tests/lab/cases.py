"""The twelve cases as data: what the ISP (or the world) does, and what must be said of it."""

from __future__ import annotations

from dataclasses import dataclass

_TLS = ("tls", "https")
_ANY = ("tls", "https", "http")


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
    """It concerns every service alike: there is no bystander."""

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
        ("vantage.offline", "vantage.resolver_dead"),
        None,
        _ANY,
        everyone=True,
    ),
    Case("geographic_dns", "ok", ("tls.certificate_valid",), None, _TLS, geographic=True),
)
BY_NAME = {case.name: case for case in CASES}
