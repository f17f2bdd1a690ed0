# SPDX-License-Identifier: Apache-2.0
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
    combine: str
    endpoints: tuple[DemoEndpoint, ...]


@dataclass(frozen=True)
class DemoService:
    """A service as people know it."""

    id: str
    name: str
    targets: tuple[DemoTarget, ...]


@dataclass(frozen=True)
class DemoNetwork:
    """A network with three volunteers. Each is an owner of its own: two in one network may share a
    line, and page nobody."""

    asn: int
    name: str
    country: str
    owners: tuple[str, ...]
    role: str = "vantage"


def _any(function: str, protocol: str, *hosts: str) -> DemoTarget:
    return DemoTarget(function, "any_of", tuple(DemoEndpoint(protocol, host) for host in hosts))


def _site(host: str) -> DemoTarget:
    """A website as people type it: plain HTTP first, then HTTPS."""
    return DemoTarget("web", "all_of", (DemoEndpoint("https", host), DemoEndpoint("http", host)))


# Few targets and names, because ten probes measure all of them every few seconds: a round without
# faults takes about three (measured 2026-11-25), most of it listening for second DNS answers.
SERVICES = (
    DemoService(
        "wechat",
        "WeChat",
        (
            _any("messaging", "tcp", "long.weixin.test", "szlong.weixin.test"),
            _any("web", "https", "web.wechat.test"),
            _any("shortlink", "http", "short.weixin.test"),
        ),
    ),
    DemoService("linkedin", "LinkedIn", (_site("www.linkedin.test"),)),
    DemoService(
        "whatsapp",
        "WhatsApp",
        (
            _any("messaging", "tcp", "e1.whatsapp.test", "e2.whatsapp.test"),
            _site("web.whatsapp.test"),
        ),
    ),
    DemoService(
        "telegram",
        "Telegram",
        (
            DemoTarget(
                "dc", "any_of", (DemoEndpoint("tcp", number=41), DemoEndpoint("tcp", number=42))
            ),
            _site("web.telegram.test"),
        ),
    ),
    DemoService(
        "signal",
        "Signal",
        (
            DemoTarget(
                "chat",
                "all_of",
                (
                    DemoEndpoint("tls", "chat.signal.test"),
                    DemoEndpoint("dns", "uptime.signal.test"),
                ),
            ),
        ),
    ),
)

NETWORKS = (
    DemoNetwork(64501, "Demo Telecom East", "RU", ("volunteer-1", "volunteer-2", "volunteer-3")),
    DemoNetwork(64502, "Demo Telecom West", "RU", ("volunteer-4", "volunteer-5", "volunteer-6")),
    DemoNetwork(64503, "Demo Net", "FR", ("volunteer-7", "volunteer-8", "volunteer-9")),
)
CONTROL_NETWORK = DemoNetwork(64510, "Demo Hosting", "NL", ("centre",), role="control")

NETWORK_NAMES = {network.asn: network.name for network in (*NETWORKS, CONTROL_NETWORK)}
"""Numbers for documentation have no registered name."""

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
SILENT = 253

BOGON = "0.0.0.0"
"""The forged address of `dns.injection.bogon`: not of the range of all others here (whose
loopback addresses the control sees too), and one that every probe refuses to dial."""


def network_label(asn: int) -> str:
    """`AS64501 Demo Telecom East`."""
    return f"AS{asn} {NETWORK_NAMES.get(asn, '')}".rstrip()


def hosts() -> dict[str, int]:
    """Return every host name of the simulated internet with its last octet."""
    services = [name for service in SERVICES for name in names_of(service)]
    domestic = [host for names in DOMESTIC.values() for host in names]
    numbered = [*services, *INTERNATIONAL, *domestic, INNOCUOUS]
    return {host: number for number, host in enumerate(numbered, 1)} | {
        REFERENCE_DOH: DOH,
        REFERENCE_DOT: DOT,
        PARKED: PARKING,
        BLOCK_PAGE_HOST: BLOCK_PAGE,
    }


def names_of(service: DemoService) -> tuple[str, ...]:
    """Return the host names of a service, each once."""
    named = [e.host for target in service.targets for e in target.endpoints if e.host]
    return tuple(dict.fromkeys(named))


def numbers_of(service: DemoService) -> tuple[int, ...]:
    """Return the last octets of the addresses that a service's app dials without a name."""
    return tuple(e.number for target in service.targets for e in target.endpoints if not e.host)


def speaks(service: DemoService, protocol: str) -> bool:
    """Return whether an endpoint of the service has this protocol."""
    return any(e.protocol == protocol for target in service.targets for e in target.endpoints)
