# SPDX-License-Identifier: Apache-2.0
"""One target x one vantage x one round: the unit that travels, is stored and is never changed.

Version rules: `v` is raised only when the meaning of a field changes; adding a field with a
default does not raise it. A collector leaves batches of a newer `v` unacknowledged, so that
they wait at the probe until it is upgraded.
"""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Annotated

import msgspec

from probes.wire.bounds import (
    ASN,
    MAX_OBSERVATIONS,
    Count,
    Country,
    MeasurementId,
    Micros,
    Millis,
    ProbeId,
    Small,
    TargetId,
    Text,
    Token,
)
from probes.wire.observation import AnyObservation

VERSION = 1
LIVENESS_INTERNATIONAL = "liveness/international"
LIVENESS_DOMESTIC = "liveness/domestic"
LIVENESS_TARGETS = (LIVENESS_INTERNATIONAL, LIVENESS_DOMESTIC)


class Role(StrEnum):
    """What a probe stands for. Added by the collector from the token; only `once` claims it."""

    VANTAGE = "vantage"
    CONTROL = "control"


class Vantage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The network a probe stands in. Never an address."""

    country: Country = "ZZ"
    """ISO 3166-1 alpha-2, `ZZ` when unknown (such a vantage has no vote)."""
    asn: ASN = 0
    role: Role = Role.VANTAGE
    resolver_class: Token = "unknown"
    """`private`, `isp`, `public` or `unknown`."""
    resolver_asn: ASN = 0
    geo: Token = "none"
    """Where country and ASN are from: `flag`, `table:<version>` or `none`."""


class Software(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What measured: verdicts may depend on it, so it travels with every measurement."""

    name: Token = "reachprobe"
    version: Token = ""
    python: Token = ""
    openssl: Text = ""
    tls_profile: Token = ""
    """Name and version of the pinned ClientHello profile."""


class EndpointRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint as the probe's catalogue had it, so that a measurement explains itself."""

    id: Text
    protocol: Token
    host: Text = ""
    """Name that is resolved; empty when the app dials an address."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All observations of one target, from one vantage, in one round, in order."""

    v: Annotated[int, msgspec.Meta(ge=1, le=VERSION)]
    id: MeasurementId
    """First 16 bytes (hex) of SHA-256(probe, spool epoch, sequence): see `measurement_id`."""
    probe: ProbeId
    """`p-` and 16 random hex digits."""
    target: TargetId
    """`service/function`, or one of LIVENESS_TARGETS."""
    round: Millis
    """Start of the round, Unix time in milliseconds; a multiple of `interval_ms` in the daemon,
    so that vantages and controls with the same interval share it."""
    interval_ms: Millis = 0
    """0 for a single run (`once`)."""
    started: Millis
    """Wall clock at the first step, Unix time in milliseconds, UTC."""
    monotonic_us: Micros = 0
    """The probe's monotonic clock at the same moment, microseconds since its boot."""
    took_us: Micros = 0
    clock_offset_ms: Small | None = None
    """Wall clock minus a reference (HTTP or TLS dates seen in liveness); None when unknown."""
    epoch: Token = ""
    """Random name of the spool that numbered this measurement."""
    sequence: Count = 0
    retest: bool = False
    """Measured because the detector asked, not by schedule."""
    vantage: Vantage = Vantage()
    software: Software = Software()
    catalogue: Token = ""
    """Version of the catalogue."""
    combine: Token = "any_of"
    """`any_of`, `all_of`, or `most` for liveness: how endpoints make up the function."""
    endpoints: Annotated[tuple[EndpointRef, ...], msgspec.Meta(max_length=128)] = ()
    """Every endpoint of the target, measured or not."""
    observations: Annotated[
        tuple[AnyObservation, ...], msgspec.Meta(max_length=MAX_OBSERVATIONS)
    ] = ()

    @property
    def service(self) -> str:
        """The part of the target before the slash."""
        return self.target.partition("/")[0]


def measurement_id(probe: str, epoch: str, sequence: int) -> str:
    """Return the id of a measurement: a resend has the same id, and nobody who does not know
    the spool's random epoch can guess it."""
    return hashlib.sha256(f"{probe}\0{epoch}\0{sequence}".encode()).digest()[:16].hex()
