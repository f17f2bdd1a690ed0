# SPDX-License-Identifier: Apache-2.0
"""The demonstration's catalogue as files, so that its probes read it like any other."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.demo import plan
from monitor.demo.plan import DemoService

TRUST = "demo-ca.pem"
_SOURCE = 'source = "simulated: monitor/demo"\nverified = 2026-11-25\n'


@dataclass(frozen=True)
class Ports:
    """Where the servers of the simulated internet listen, the same on every address."""

    dns: int
    tls: int
    http: int
    tcp: int

    def of(self, protocol: str) -> int:
        """The port of a catalogue protocol."""
        match protocol:
            case "https" | "tls":
                return self.tls
            case "http":
                return self.http
            case "tcp":
                return self.tcp
        return self.dns


def write_catalogue(folder: Path, block: str, ports: Ports, ca_pem: str) -> None:
    """Write the files; `block` is the first three octets of every address."""
    services = folder / "services"
    services.mkdir(parents=True, exist_ok=True)
    (services / TRUST).write_text(ca_pem)
    (folder / TRUST).write_text(ca_pem)
    for service in plan.SERVICES:
        (services / f"{service.id}.toml").write_text(_service(service, block, ports))
    (folder / "resolvers.toml").write_text(_resolvers(block, ports))
    (folder / "controls.toml").write_text(_controls(block, ports))


def _service(service: DemoService, block: str, ports: Ports) -> str:
    lines = [_keys({"id": service.id, "name": service.name})]
    for target in service.targets:
        identity = {"id": f"{service.id}/{target.function}", "combine": target.combine}
        lines.append("[[target]]\n" + _keys(identity))
        for endpoint in target.endpoints:
            place = (
                {"host": endpoint.host}
                if endpoint.host
                else {"address": f"{block}.{endpoint.number}"}
            )
            tls = endpoint.protocol in ("tls", "https")
            lines.append(
                "[[target.endpoint]]\n"
                + _keys(place)
                + _keys({"port": ports.of(endpoint.protocol), "protocol": endpoint.protocol})
                + (_keys({"trust": TRUST}) if tls else "")
                + _SOURCE
            )
    return "".join(lines)


def _resolvers(block: str, ports: Ports) -> str:
    doh = f"https://{plan.REFERENCE_DOH}:{ports.tls}/dns-query"
    return (
        "[[resolver]]\n"
        + _keys({"id": "reference", "udp": f"{block}.{plan.REFERENCE}:{ports.dns}"})
        + _SOURCE
        + "[[resolver]]\n"
        + _keys({"id": "encrypted", "doh": doh, "doh_address": f"{block}.{plan.DOH}"})
        + _keys({"doh_trust": TRUST, "dot": f"{block}.{plan.DOT}:{ports.tls}"})
        + _keys({"dot_name": plan.REFERENCE_DOT, "dot_trust": TRUST})
        + _SOURCE
        + "[[silent]]\n"
        + _keys({"address": f"{block}.{plan.SILENT}:{ports.dns}"})
        + _SOURCE
    )


def _controls(block: str, ports: Ports) -> str:
    scopes = [(host, {"scope": "international"}) for host in plan.INTERNATIONAL]
    for country, hosts in plan.DOMESTIC.items():
        scopes += [(host, {"scope": "domestic", "country": country}) for host in hosts]
    lines = [
        "[[liveness]]\n"
        + _keys({"host": host, "port": ports.tls, "protocol": "tls", "trust": TRUST})
        + _keys(scope)
        + _SOURCE
        for host, scope in scopes
    ]
    reflector = f"{block}.{plan.REFLECTOR}:{ports.tls}"
    sni = {"innocuous": plan.INNOCUOUS, "address": reflector, "trust": TRUST}
    return "".join(lines) + "[sni]\n" + _keys(sni)


def _keys(values: Mapping[str, str | int]) -> str:
    """TOML lines; JSON's strings of plain ASCII are TOML's too."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
