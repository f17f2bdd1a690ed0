# SPDX-License-Identifier: Apache-2.0
"""What is measured, as values: a catalogue in memory. Reading files is `probes.catalogue.load`."""

from __future__ import annotations

import datetime as dt
import functools

import msgspec

from probes.wire.measurement import EndpointRef

COMBINE = ("any_of", "all_of")


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What a probe connects to: a host or an address, a port, a protocol and what to send."""

    port: int
    protocol: str
    host: str = ""
    address: str = ""
    sni: str = ""
    """Name shown in TLS; the host when empty."""
    alpn: tuple[str, ...] = ()
    path: str = "/"
    trust: str = ""
    """PEM text of a private CA used in place of the bundled roots; empty for the bundled ones."""
    source: str = ""
    verified: dt.date | None = None
    confidence: str = "high"

    @functools.cached_property
    def id(self) -> str:
        """`host-or-address:port/protocol`, unique within a target (an address goes in brackets
        when it is IPv6)."""
        name = self.host or (f"[{self.address}]" if ":" in self.address else self.address)
        return f"{name}:{self.port}/{self.protocol}"

    @property
    def server_name(self) -> str:
        """The name that TLS and HTTP show."""
        return self.sni or self.host


class Target(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One function of a service."""

    id: str
    endpoints: tuple[Endpoint, ...]
    combine: str = "any_of"
    core: bool = False
    """Whether the lean profile measures it in every round (`probes.rounds.profile`)."""

    @functools.cached_property
    def refs(self) -> tuple[EndpointRef, ...]:
        """Its endpoints as every measurement of this target lists them."""
        return tuple(EndpointRef(id=e.id, protocol=e.protocol, host=e.host) for e in self.endpoints)


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """What people know by name."""

    id: str
    name: str
    targets: tuple[Target, ...]


class Resolver(msgspec.Struct, frozen=True, kw_only=True):
    """A resolver asked by address. `udp` serves UDP and TCP on port 53 unless it names a port."""

    id: str
    udp: str = ""
    doh: str = ""
    doh_address: str = ""
    doh_trust: str = ""
    dot: str = ""
    dot_name: str = ""
    dot_trust: str = ""
    role: str = "reference"
    """`reference` (for comparison) or `subject` (measured itself)."""
    source: str = ""


class SilentAddress(msgspec.Struct, frozen=True, kw_only=True):
    """An address that runs no DNS; `host:port` when the port is not 53."""

    address: str
    source: str = ""


class LivenessHost(msgspec.Struct, frozen=True, kw_only=True):
    """An innocuous host that shows whether the vantage is online at all."""

    host: str
    port: int
    protocol: str
    scope: str
    """`international` or `domestic`."""
    country: str = ""
    """Where a domestic host is domestic."""
    trust: str = ""
    path: str = "/"
    source: str = ""


class SNIContrast(msgspec.Struct, frozen=True, kw_only=True):
    """The innocuous name and the reflector of the SNI contrasts."""

    innocuous: str = ""
    address: str = ""
    """`address:port` of a reflector of ours; empty when there is none."""
    trust: str = ""


class Catalogue(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a probe may contact."""

    version: str
    """First 12 hex digits of the SHA-256 over the files' names and bytes, in name order."""
    services: tuple[Service, ...]
    resolvers: tuple[Resolver, ...] = ()
    silent: tuple[SilentAddress, ...] = ()
    liveness: tuple[LivenessHost, ...] = ()
    sni: SNIContrast = SNIContrast()

    @property
    def targets(self) -> tuple[Target, ...]:
        """All targets of all services, in order."""
        return tuple(target for service in self.services for target in service.targets)
