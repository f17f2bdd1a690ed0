# SPDX-License-Identifier: Apache-2.0
"""Blocks that the demonstration can simulate, and the parser of `--demo-block`."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from monitor.demo.plan import NETWORKS, SERVICES, DemoService, network_label, speaks

TECHNIQUES = (
    "dns.nxdomain",
    "dns.refused",
    "dns.servfail",
    "dns.empty",
    "dns.timeout",
    "dns.injection.bogon",
    "dns.injection.blockpage",
    "dns.injection.other",
    "tls.reset.sni",
    "tls.timeout.sni",
    "tls.eof.sni",
    "tls.alert.sni",
    "tls.reset.other",
    "tls.timeout.other",
    "tls.eof.other",
    "tls.alert.other",
    "tls.mitm.self_signed",
    "tls.http_response",
    "http.blockpage",
    "http.redirect",
    "http.451",
    "http.reset.host",
    "http.timeout.host",
)
"""Techniques that servers can simulate without a firewall."""
_NEEDS_A_FIREWALL = ("tcp.", "udp.", "quic.", "throttle.")


@dataclass(frozen=True)
class DemoBlock:
    """A service blocked in one network by one technique."""

    service: str
    asn: int
    technique: str

    def __str__(self) -> str:
        return f"{self.service}:{self.asn}:{self.technique}"

    @property
    def place(self) -> str:
        """What is blocked where, for people: `WeChat in AS64501 Demo Telecom East`."""
        return f"{_service(self.service).name} in {network_label(self.asn)}"


DEFAULT = DemoBlock("wechat", 64501, "tls.reset.sni")
SECOND = DemoBlock("signal", 64503, "dns.nxdomain")
"""Blocked as well for a part of the time, where no block is chosen."""


def parse_block(text: str) -> DemoBlock | None:
    """Return the block that `SERVICE:ASN:TECHNIQUE` names, None for `none`.

    Raises ValueError with one line that says what is possible.
    """
    if text == "none":
        return None
    parts = text.split(":")
    if len(parts) != 3:
        raise ValueError(f"expected SERVICE:ASN:TECHNIQUE or none, got {text!a}")
    service, network, technique = parts
    _one_of("service", service, tuple(each.id for each in SERVICES))
    number = network[2:] if network[:2].upper() == "AS" else network
    _one_of("network", number, tuple(str(each.asn) for each in NETWORKS))
    if technique.startswith(_NEEDS_A_FIREWALL):
        raise ValueError(
            f"{ascii(technique)[1:-1]} needs a firewall on the path, which loopback does not have: "
            "see the laboratory, tests/lab"
        )
    _one_of("technique", technique, TECHNIQUES)
    if technique.startswith("http.") and not speaks(_service(service), "http"):
        speaking = ", ".join(each.id for each in SERVICES if speaks(each, "http"))
        raise ValueError(f"{service} has no plain HTTP in the demonstration ({speaking} have)")
    return DemoBlock(service, int(number), technique)


def _service(name: str) -> DemoService:
    return next(each for each in SERVICES if each.id == name)


def _one_of(what: str, given: str, possible: tuple[str, ...]) -> None:
    if given in possible:
        return
    near = difflib.get_close_matches(given, possible, 1)
    hint = f", did you mean {near[0]}?" if near else ""
    raise ValueError(f"no {what} {given!a} in the demonstration{hint} ({', '.join(possible)})")
