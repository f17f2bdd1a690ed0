# SPDX-License-Identifier: Apache-2.0
"""Keeps a Measurement within the size limits of the wire format and of one MQTT packet.

A hostile server may present large certificates and bodies at every address. The bytes of each
certificate are kept once; then excerpts and certificates beyond a limit go; observations go last,
those of reference resolvers first.
"""

from __future__ import annotations

import msgspec

from probes.wire.bounds import MAX_OBSERVATIONS, MAX_PACKET_BYTES
from probes.wire.codec import encode
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AnyObservation,
    AppExchange,
    Certificate,
    HTTPExchange,
    Purpose,
    QUICHandshake,
    TLSHandshake,
    Unrecognised,
)

MAX_CERTIFICATE_BYTES = 65536
"""Of certificates in DER that one measurement carries; a usual chain has 4,000."""
MAX_EXCERPT_BYTES = 16384
_WITH_BYTES = (TLSHandshake, QUICHandshake, HTTPExchange, AppExchange)
MAX_LINE = MAX_PACKET_BYTES * 3 // 4
"""A measurement must fit one packet even if it does not compress, header and frame included."""


def fit_size_limits(measurement: Measurement) -> Measurement:
    """Return the measurement, reduced to the limits where it exceeds them."""
    seen = _reduce_count(measurement.observations, MAX_OBSERVATIONS)
    reduced = _reduce_bytes(seen, MAX_CERTIFICATE_BYTES, MAX_EXCERPT_BYTES)
    kept = measurement
    if reduced is not measurement.observations:
        kept = msgspec.structs.replace(measurement, observations=reduced)
    if len(encode(kept)) <= MAX_LINE:
        return kept
    seen = _reduce_bytes(seen, 0, 0)
    while True:
        kept = msgspec.structs.replace(measurement, observations=seen)
        if len(encode(kept)) <= MAX_LINE or not seen:
            return kept
        seen = _reduce_count(seen, len(seen) // 2)


def _reduce_count(seen: tuple[AnyObservation, ...], most: int) -> tuple[AnyObservation, ...]:
    """At most so many observations, in order: references are dropped first, then contrasts."""
    if len(seen) <= most:
        return seen
    rank = {Purpose.SUBJECT: 0, Purpose.CONTRAST: 1, Purpose.REFERENCE: 2}
    order = sorted(
        range(len(seen)),
        key=lambda i: (rank.get(getattr(seen[i], "purpose", Purpose.REFERENCE), 2), i),
    )
    return tuple(seen[i] for i in sorted(order[:most]))


def _reduce_bytes(
    seen: tuple[AnyObservation, ...], certificate_bytes: int, excerpt_bytes: int
) -> tuple[AnyObservation, ...]:
    """Keep each certificate's bytes once, and no more bytes of either kind than allowed."""
    if not any(isinstance(observation, _WITH_BYTES) for observation in seen):
        return seen
    carried: set[str] = set()
    reduced: list[AnyObservation] = []
    for observation in seen:
        match observation:
            case TLSHandshake() | QUICHandshake() if any(c.der for c in observation.chain):
                chain: list[Certificate] = []
                for certificate in observation.chain:
                    size = len(certificate.der)
                    if certificate.sha256 in carried or size > certificate_bytes:
                        chain.append(msgspec.structs.replace(certificate, der=b""))
                        continue
                    certificate_bytes -= size
                    carried.add(certificate.sha256)
                    chain.append(certificate)
                reduced.append(msgspec.structs.replace(observation, chain=tuple(chain)))
            case HTTPExchange() | AppExchange() if observation.excerpt:
                if len(observation.excerpt) > excerpt_bytes:
                    reduced.append(msgspec.structs.replace(observation, excerpt=b""))
                else:
                    excerpt_bytes -= len(observation.excerpt)
                    reduced.append(observation)
            case Unrecognised() | _:
                reduced.append(observation)
    return tuple(reduced)
