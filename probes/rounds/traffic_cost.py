# SPDX-License-Identifier: Apache-2.0
"""How much traffic a measurement costs. Pure."""

from __future__ import annotations

from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AppExchange,
    DNSLookup,
    HTTPExchange,
    Observation,
    PathTrace,
    QUICHandshake,
    TLSHandshake,
    Transfer,
)

_OVERHEAD_BYTES = 400
"""Packets without payload and headers of one connection (SYN, ACKs, FIN; IPv4 and TCP)."""
_LOOKUP_BYTES = {"udp": 220, "dot": 9_000, "doh": 9_500}
"""Packets of a question and its answer; with those of a handshake and its certificates."""
_LINK = 1.1
"""Packet headers of what a connection reads and writes, and what is sent again: on a link of
1 Mbit/s and 100 ms that loses 2 % of the packets, the interface carried 5 to 9 % more than was
counted without it (`benchmarks/probing/link.py`, 2026-11-27)."""
_HOP_BYTES = 2_400
"""Two connections, and a small ClientHello that the kernel sends two or three times."""


def sent_bytes(line_bytes: int) -> int:
    """Return the bytes sent for measurements of this size: they compress to about a fifth."""
    return line_bytes // 5


def spent_bytes(measurement: Measurement, line_bytes: int) -> int:
    """Return the traffic of one measurement in bytes: what its steps counted, the overhead of each
    step, sending the measurement itself, and what the link adds."""
    counted = sent_bytes(line_bytes)
    for seen in measurement.observations:
        if isinstance(seen, DNSLookup):
            counted += _LOOKUP_BYTES.get(seen.transport, _OVERHEAD_BYTES)
        elif isinstance(seen, Observation):
            counted += _OVERHEAD_BYTES
        if isinstance(seen, TLSHandshake | QUICHandshake | HTTPExchange | Transfer | AppExchange):
            counted += seen.sent_bytes + seen.received_bytes
        if isinstance(seen, PathTrace):
            counted += _HOP_BYTES * len(seen.hops)
    return int(_LINK * counted)
