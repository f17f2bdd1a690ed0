"""Who and what is in the simulated internet: services, networks, volunteers. Values only.

Services have their real display names and reserved host names; networks are from the range for
documentation (RFC 5398). The numbers are the last octets of addresses in the world's own /24.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoEndpoint:
    """What a target dials: a host name, or an address by its last octet."""

    protocol: str
    host: str = ""
    number: int = 0


@dataclass(frozen=True)
class DemoTarget:
    """One function of a service."""

    function: str
    endpoints: tuple[DemoEndpoint, ...]


@dataclass(frozen=True)
class DemoService:
    """A service as people know it."""

    id: str
    name: str
    targets: tuple[DemoTarget, ...]


@dataclass(frozen=True)
class DemoNetwork:
    """A network with three volunteers, of two owners at least."""

    asn: int
    country: str
    owners: tuple[str, ...]
    role: str = "vantage"


def _target(function: str, protocol: str, *hosts: str) -> DemoTarget:
    return DemoTarget(function, tuple(DemoEndpoint(protocol, host) for host in hosts))


SERVICES = (
    DemoService(
        "wechat",
        "WeChat",
        (
            _target("messaging", "tcp", "long.weixin.test", "szlong.weixin.test"),
            _target("web", "https", "web.wechat.test"),
            _target("shortlink", "http", "short.weixin.test"),
        ),
    ),
    DemoService(
        "linkedin",
        "LinkedIn",
        (
            _target("web", "https", "www.linkedin.test"),
            _target("messaging", "tls", "realtime.linkedin.test"),
            _target("site", "http", "linkedin.test"),
        ),
    ),
    DemoService(
        "whatsapp",
        "WhatsApp",
        (
            _target("messaging", "tcp", "e1.whatsapp.test", "e2.whatsapp.test"),
            _target("web", "https", "web.whatsapp.test"),
            _target("site", "http", "whatsapp.test"),
        ),
    ),
    DemoService(
        "telegram",
        "Telegram",
        (
            DemoTarget("dc", (DemoEndpoint("tcp", number=41), DemoEndpoint("tcp", number=42))),
            _target("web", "https", "web.telegram.test"),
            _target("site", "http", "telegram.test"),
        ),
    ),
    DemoService(
        "signal",
        "Signal",
        (
            _target("chat", "tls", "chat.signal.test"),
            _target("uptime", "dns", "uptime.signal.test"),
            _target("site", "http", "signal.test"),
        ),
    ),
)

NETWORKS = (
    DemoNetwork(64501, "RU", ("demo-anna", "demo-boris", "demo-anna")),
    DemoNetwork(64502, "RU", ("demo-vera", "demo-gleb", "demo-vera")),
    DemoNetwork(64503, "FR", ("demo-camille", "demo-denis", "demo-camille")),
)
CONTROL_NETWORK = DemoNetwork(64510, "NL", ("demo-centre",), role="control")

INTERNATIONAL = ("www.alder.test", "www.birch.test", "www.cedar.test")
DOMESTIC = {"RU": ("www.neva.test", "www.volga.test")}
INNOCUOUS = "www.maple.test"
REFERENCE_DOH = "doh.reference.test"
REFERENCE_DOT = "dot.reference.test"
PARKED = "parking.test"
"""Whom the certificate at the address of `dns.injection.other` is for."""
BLOCK_PAGE_HOST = "warning.isp.test"
"""Where `http.redirect` leads."""

# Last octets.
REFERENCE = 51
DOH = 52
DOT = 53
REFLECTOR = 54
FIRST_VANTAGE = 101
FIRST_RESOLVER = 201
BLOCK_PAGE = 240
PARKING = 241
NOWHERE = 250
"""An address where nothing listens."""
SILENT = 253


def hosts() -> dict[str, int]:
    """Return every host name of the simulated internet with its last octet."""
    services = [
        endpoint.host
        for service in SERVICES
        for target in service.targets
        for endpoint in target.endpoints
        if endpoint.host
    ]
    domestic = [host for names in DOMESTIC.values() for host in names]
    numbered = [*services, *INTERNATIONAL, *domestic, INNOCUOUS]
    return {host: number for number, host in enumerate(numbered, 1)} | {
        REFERENCE_DOH: DOH,
        REFERENCE_DOT: DOT,
        PARKED: PARKING,
        BLOCK_PAGE_HOST: BLOCK_PAGE,
    }


def names_of(service: DemoService) -> tuple[str, ...]:
    """Return the host names of a service."""
    return tuple(e.host for target in service.targets for e in target.endpoints if e.host)
