# SPDX-License-Identifier: Apache-2.0
"""The shipped catalogue, as stand-ins on this machine have to serve it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import probes.catalogue
from probes.wire.observation import AppExchange
from probes.wire.protocol import PROTOCOLS, Transport
from probes.wire.target import Catalogue

CHAIN_BYTES = 4000
"""Of a server's certificates: usual chains, of leaf and intermediate, have 3 to 5 kB."""
_OTHER_BYTES = 450
"""Of a certificate without its names."""
_ENCRYPTED = ("tls", "https", "quic", "whatsapp")
_APP = re.compile(
    "|".join(
        rf'(?<=^protocol = "){name}(?=")'
        for name, known in PROTOCOLS.items()
        if known.last_step is AppExchange and known.transport is Transport.TCP
    ),
    re.MULTILINE,
)
_TRUST = re.compile(r"^(?:trust|doh_trust|dot_trust)\s*=.*\n", re.MULTILINE)


def write_copy(folder: Path) -> None:
    """Write the shipped catalogue into a folder without private authorities: every entry is
    verified against the probe's own roots. Of apps' own protocols over TCP the first exchange is
    left out, which no stand-in speaks: failures would be measured at length."""
    shipped = Path(probes.catalogue.__file__).parent
    (folder / "services").mkdir(parents=True)
    files = [*(shipped / "services").glob("*.toml"), *shipped.glob("*.toml")]
    for path in files:
        text = _TRUST.sub("", path.read_text(encoding="utf-8"))
        text = _APP.sub(lambda found: "tls" if PROTOCOLS[found[0]].tls else "tcp", text)
        (folder / path.relative_to(shipped)).write_text(text)


def names(catalogue: Catalogue) -> list[str]:
    """Every name that a certificate must hold."""
    found = {e.server_name for t in catalogue.targets for e in t.endpoints} - {""}
    found |= {host.host for host in catalogue.liveness}
    return sorted(name for name in found if not re.fullmatch(r"[\d.]+|.*:.*", name))


def certificate_names(needed: Iterable[str]) -> list[str]:
    """Names for one certificate that holds all of these, as long as a usual chain: wildcards, and
    names that nobody asks for."""
    found = sorted({re.sub(r"^[^.]+(?=\..+\.)", "*", name) for name in needed})
    while sum(len(name) + 2 for name in found) < CHAIN_BYTES - _OTHER_BYTES:
        found.append(f"filler-{len(found)}.example")
    return found


def ports(catalogue: Catalogue) -> tuple[set[int], set[int]]:
    """TCP ports that stand-ins must serve: in clear, and with TLS (which serve plain TCP too)."""
    used = [(e.port, e.protocol) for t in catalogue.targets for e in t.endpoints]
    used += [(host.port, host.protocol) for host in catalogue.liveness]
    encrypted = {port for port, protocol in used if protocol in _ENCRYPTED}
    return {port for port, kind in used if kind != "dns"} - encrypted, encrypted


def stun_hosts(catalogue: Catalogue) -> set[tuple[str, int]]:
    """Hosts and ports of STUN servers."""
    dialled = [e for t in catalogue.targets for e in t.endpoints]
    hosts = [(e.host, e.port) for e in dialled if e.protocol == "stun"]
    return {*hosts, *((h.host, h.port) for h in catalogue.liveness if h.protocol == "stun")}


def places(listed: Iterable[str]) -> list[tuple[str, int]]:
    """Addresses of nameservers with their port, 53 unless they name one."""
    found = []
    for text in listed:
        host, colon, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "")
        found.append((host, int(port)) if colon else (text.strip("[]"), 53))
    return found
