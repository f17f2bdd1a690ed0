# SPDX-License-Identifier: Apache-2.0
"""The protocols of the catalogue: everything that probe and monitor know of each, in one table.

To add one, write an entry here and the file of `probes.protocols` that the entry names. What the
probe measures, what the catalogue accepts, what traffic is expected and what the monitor takes for
a working endpoint all derive from the entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from probes.wire.observation import (
    AppExchange,
    DNSLookup,
    HTTPExchange,
    Observation,
    QUICHandshake,
    TCPConnect,
    TLSHandshake,
    step_of,
)


class Transport(StrEnum):
    """What carries a protocol to an endpoint."""

    TCP = "tcp"
    UDP = "udp"
    NONE = "none"
    """No connection is made to the endpoint: only its name is resolved."""


class Protocol(msgspec.Struct, frozen=True):
    """What is known of one protocol."""

    transport: Transport
    last_step: type[Observation]
    """The step that an endpoint must pass to count as working."""
    module: str
    """The file in `probes.protocols` that measures it."""
    usual_bytes: int
    """Expected traffic of measuring one endpoint once."""
    tls: bool = False
    """A certificate proves the server, so that there must be a name to verify."""
    alpn: tuple[str, ...] = ()
    """Offered where the catalogue names none and the protocol needs one or gains by it."""
    port: int | None = None
    """Used where the catalogue gives no port; None where it must give one."""

    @property
    def layer(self) -> str:
        """The layer of the last step: that of the step, or `udp` for an app's protocol over UDP."""
        if self.transport is Transport.UDP and self.last_step is AppExchange:
            return "udp"
        return step_of(self.last_step)


# `usual_bytes`: three lookups of 400 bytes, a connection of 450 to each of two addresses, 6,000 for
# each handshake, 15,000 for a page; for an app's first exchange, its message and the usual answer.
# On loopback, with one address, small certificates and pages of 6 kB, the interface counted 6,600
# bytes an endpoint (forty endpoints, a quarter of each of tcp, tls, https, http; 2026-11-25).
TCP, UDP, NONE = Transport
PROTOCOLS: Final[Mapping[str, Protocol]] = {
    "dns": Protocol(NONE, DNSLookup, "dns", 1_200, port=53),
    "tcp": Protocol(TCP, TCPConnect, "tcp", 2_000),
    "tls": Protocol(TCP, TLSHandshake, "tls", 14_000, tls=True),
    "https": Protocol(TCP, HTTPExchange, "https", 35_000, tls=True, alpn=("h2", "http/1.1")),
    "http": Protocol(TCP, HTTPExchange, "http", 17_000),
    "quic": Protocol(UDP, QUICHandshake, "quic", 10_000, tls=True, alpn=("h3",)),
    "mtproto": Protocol(TCP, AppExchange, "mtproto", 3_000),
    "stun": Protocol(UDP, AppExchange, "stun", 1_500),
    "whatsapp": Protocol(TCP, AppExchange, "whatsapp", 3_500),
    "mmtls": Protocol(TCP, AppExchange, "mmtls", 5_000),
    "mmtls-http": Protocol(TCP, AppExchange, "mmtls", 5_500),
    "xmpp": Protocol(TCP, AppExchange, "xmpp", 5_000),
    "matrix": Protocol(TCP, AppExchange, "matrix", 16_000, tls=True),
}
UNKNOWN: Final = Protocol(TCP, TCPConnect, "", 10_000)
"""What is assumed of a protocol that a newer catalogue or probe names. Nothing measures it."""


def protocol(name: str) -> Protocol:
    """Return what is known of a protocol, or UNKNOWN."""
    return PROTOCOLS.get(name, UNKNOWN)
