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
)


class Transport(StrEnum):
    """What carries a protocol to an endpoint."""

    TCP = "tcp"
    UDP = "udp"
    NONE = "none"
    """The endpoint is not dialled: its name is resolved."""


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
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
        return self.last_step.STEP


# `usual_bytes`: three lookups of 400 bytes, a connection of 450 to each of two addresses, 6,000 for
# each handshake, 15,000 for a page; for an app's first exchange, its message and the usual answer.
# On loopback, with one address, small certificates and pages of 6 kB, the interface counted 6,600
# bytes an endpoint (forty endpoints, a quarter of each of tcp, tls, https, http; 2026-11-25).
PROTOCOLS: Final[Mapping[str, Protocol]] = {
    "dns": Protocol(
        transport=Transport.NONE, last_step=DNSLookup, module="dns", usual_bytes=1_200, port=53
    ),
    "tcp": Protocol(transport=Transport.TCP, last_step=TCPConnect, module="tcp", usual_bytes=2_000),
    "tls": Protocol(
        transport=Transport.TCP, last_step=TLSHandshake, module="tls", usual_bytes=14_000, tls=True
    ),
    "https": Protocol(
        transport=Transport.TCP,
        last_step=HTTPExchange,
        module="https",
        usual_bytes=35_000,
        tls=True,
        alpn=("h2", "http/1.1"),
    ),
    "http": Protocol(
        transport=Transport.TCP, last_step=HTTPExchange, module="http", usual_bytes=17_000
    ),
    "quic": Protocol(
        transport=Transport.UDP,
        last_step=QUICHandshake,
        module="quic",
        usual_bytes=10_000,
        tls=True,
        alpn=("h3",),
    ),
    "mtproto": Protocol(
        transport=Transport.TCP, last_step=AppExchange, module="mtproto", usual_bytes=3_000
    ),
    "stun": Protocol(
        transport=Transport.UDP, last_step=AppExchange, module="stun", usual_bytes=1_500
    ),
    "whatsapp": Protocol(
        transport=Transport.TCP, last_step=AppExchange, module="whatsapp", usual_bytes=3_500
    ),
    "mmtls": Protocol(
        transport=Transport.TCP, last_step=AppExchange, module="mmtls", usual_bytes=5_000
    ),
    "mmtls-http": Protocol(
        transport=Transport.TCP, last_step=AppExchange, module="mmtls", usual_bytes=5_500
    ),
    "xmpp": Protocol(
        transport=Transport.TCP, last_step=AppExchange, module="xmpp", usual_bytes=5_000
    ),
    "matrix": Protocol(
        transport=Transport.TCP,
        last_step=AppExchange,
        module="matrix",
        usual_bytes=16_000,
        tls=True,
    ),
}
UNKNOWN: Final = Protocol(
    transport=Transport.TCP, last_step=TCPConnect, module="", usual_bytes=10_000
)
"""What is assumed of a protocol that a newer catalogue or probe names. Nothing measures it."""


def protocol(name: str) -> Protocol:
    """Return what is known of a protocol, or UNKNOWN."""
    return PROTOCOLS.get(name, UNKNOWN)
