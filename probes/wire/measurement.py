# SPDX-License-Identifier: Apache-2.0
"""One target, one vantage, one round: the unit that is sent, stored and never changed.

Version rules: `v` is raised only when the meaning of a field changes; adding a field with a
default does not raise it. A collector leaves batches of a newer `v` unacknowledged, so that
they wait at the probe until it is upgraded.
"""

from __future__ import annotations

import hashlib
import math
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
LIVENESS = "liveness"
"""The reserved service whose targets show whether a vantage is online at all."""
LIVENESS_INTERNATIONAL = f"{LIVENESS}/international"
LIVENESS_DOMESTIC = f"{LIVENESS}/domestic"
LIVENESS_TARGETS = (LIVENESS_INTERNATIONAL, LIVENESS_DOMESTIC)

ROUND_GRID_MS = 60_000
MOST_INTERVAL_MS = 86_400_000
"""The longest interval that a measurement may name: the collector does not accept a longer one."""


def service_of(target: str) -> str:
    """The service in the id of a target, `service/function`."""
    return target.partition("/")[0]


def function_of(target: str) -> str:
    """The function in the id of a target."""
    return target.partition("/")[2]


def round_grid_ms(interval_ms: int) -> int:
    """The rounds of a daemon with this interval start at multiples of so many milliseconds: a
    minute, or the largest part of one that divides the interval."""
    return math.gcd(interval_ms, ROUND_GRID_MS)


def named_interval_ms(interval_ms: int, rounds_ms: int) -> int:
    """The interval that a measurement names, of a target that is measured at this interval, in
    rounds at `rounds_ms`: the longest one with which the collector accepts such rounds. It is at
    most a day, and has the same grid as the rounds."""
    if not rounds_ms:
        return interval_ms
    grid = round_grid_ms(rounds_ms)
    named = min(interval_ms, MOST_INTERVAL_MS) // grid * grid
    while round_grid_ms(named) != grid:
        named -= grid
    return named


class Role(StrEnum):
    """Purpose of a probe, set by the collector from the enrolment token (and by `once` itself)."""

    VANTAGE = "vantage"
    """Measures a network in which services may be blocked."""
    CONTROL = "control"
    """Measures in a network without interference, for comparison."""


class Vantage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The network that a probe measures from. It never contains an address."""

    country: Country = "ZZ"
    """ISO 3166-1 alpha-2; `ZZ` if unknown (such a vantage has no vote)."""
    asn: ASN = 0
    """Autonomous system number; 0 if unknown."""
    role: Role = Role.VANTAGE
    """Set by the collector."""
    resolver_class: Token = "unknown"
    """`private`, `isp`, `public` or `unknown`."""
    resolver_asn: ASN = 0
    """Autonomous system number of the resolver; 0 if unknown."""
    geo: Token = "none"
    """Source of country and ASN: `flag`, `table:<version>` or `none`."""


class Software(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The software that measured. Verdicts may depend on it, so every measurement contains it."""

    name: Token = "reachprobe"
    """Name of the program, or of the one whose measurement was imported."""
    version: Token = ""
    """Version of the program."""
    python: Token = ""
    """Version of Python."""
    openssl: Text = ""
    """Version of OpenSSL as it names itself."""
    tls_profile: Token = ""
    """Name and version of the pinned ClientHello profile."""


class EndpointRef(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint as in the probe's catalogue, so that a measurement can be read without it."""

    id: Text
    """`host-or-address:port/protocol`."""
    protocol: Token
    """Protocol as named in the catalogue, such as `https` or `mtproto`."""
    host: Text = ""
    """Name that is resolved; empty if the app dials an address."""


class Measurement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All observations of one target, from one vantage, in one round, in order."""

    v: Annotated[int, msgspec.Meta(ge=1, le=VERSION)]
    """Version of the format."""
    id: MeasurementId
    """First 16 bytes (hex) of SHA-256(probe, spool epoch, sequence): see `measurement_id`."""
    probe: ProbeId
    """`p-` and 16 random hex digits."""
    target: TargetId
    """`service/function`, or `liveness/international` or `liveness/domestic`."""
    round: Millis
    """Start of the round, Unix time in milliseconds. In the daemon it is a multiple of
    `round_grid_ms(interval_ms)`: vantages that measure in the same minute share a round."""
    interval_ms: Millis = 0
    """Interval between rounds that measure this target, at most a day (see `named_interval_ms`);
    0 for a single run (`once`)."""
    started: Millis
    """Start of the first step by the wall clock, Unix time in milliseconds."""
    monotonic_us: Micros = 0
    """Start of the first step by the monotonic clock, microseconds since the round began. Since the
    machine's boot, it would tell which pseudonyms were the same machine."""
    took_us: Micros = 0
    """Duration of the measurement, microseconds."""
    clock_offset_ms: Small | None = None
    """Wall clock minus a reference (HTTP or TLS dates from liveness hosts); null if unknown."""
    clock_corrected_ms: Small = 0
    """What the probe subtracted from `started` and `round` afterwards, when the monitor had told it
    how wrong its wall clock was; 0 if nothing."""
    epoch: Token = ""
    """Random name of the probe's spool; `sequence` counts within it."""
    sequence: Count = 0
    """Number of the measurement in its spool."""
    retest: bool = False
    """True if the detector asked for this measurement; false if it was scheduled."""
    vantage: Vantage = Vantage()
    """Where it was measured from."""
    software: Software = Software()
    """With what it was measured."""
    catalogue: Token = ""
    """Version of the probe's catalogue."""
    combine: Token = "any_of"
    """How the endpoints make up the function: `any_of`, `all_of`, or `most` for liveness."""
    endpoints: Annotated[tuple[EndpointRef, ...], msgspec.Meta(max_length=128)] = ()
    """All endpoints of the target, including those not measured."""
    observations: Annotated[
        tuple[AnyObservation, ...], msgspec.Meta(max_length=MAX_OBSERVATIONS)
    ] = ()
    """What each step saw, in order: one of the kinds below, which the field `step` names."""

    @property
    def service(self) -> str:
        """The service of its target."""
        return service_of(self.target)


def measurement_id(probe: str, epoch: str, sequence: int) -> str:
    """Return the id of a measurement. A resend has the same id. The id cannot be guessed without
    the spool's random epoch."""
    return hashlib.sha256(f"{probe}\0{epoch}\0{sequence}".encode()).digest()[:16].hex()
