# SPDX-License-Identifier: Apache-2.0
"""The reflector's QUIC half: it completes a handshake for any name, and has nothing to say. Needs
the extra `quic`; it keeps nothing, and never logs who came.

Who writes in another's name makes it send nobody more than it got: an address is first asked to
come back with a token (Retry, RFC 9000 section 8.1.2), which costs no memory and fewer bytes.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.asyncio.server import QuicServer
    from aioquic.quic.configuration import QuicConfiguration

IDLE_SECONDS = 10.0
ALPN = ("h3", "doq", "hq-interop")
"""HTTP/3, DNS, and what tests of interoperability speak. To a list without any of them the answer
is an alert, which is an answer as well."""


MOST_EACH = 32
"""Connections of one household at once: one visitor must not keep out all others."""
_LEAST_FIRST = 1200
"""Bytes of a client's first datagram (RFC 9000 section 14.1)."""
_LONG_HEADER = 0x80


class QUICReflectorError(Exception):
    """QUIC cannot be served. The text is one line: what and why."""


@asynccontextmanager
async def reflect(
    host: str,
    port: int,
    pair: tuple[Path, Path],
    *,
    connection_seconds: float,
    max_connections: int,
) -> AsyncIterator[None]:
    """Complete QUIC on UDP `host:port` with this certificate and key while the context lasts.

    A connection lasts `connection_seconds` at most; over `max_connections`, or MOST_EACH of one
    household, newcomers are closed at once. Raises QUICReflectorError.
    """
    configuration = _configuration(pair)
    made, door = _visitors(connection_seconds, max_connections), _door()
    try:
        _, server = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: door(configuration=configuration, create_protocol=made, retry=True),
            local_addr=(host, port),
        )
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise QUICReflectorError(f"{host}:{port}/udp: {reason}") from None
    try:
        yield
    finally:
        server.close()
        await asyncio.sleep(0)


def _configuration(pair: tuple[Path, Path]) -> QuicConfiguration:
    from aioquic.quic.configuration import QuicConfiguration

    configuration = QuicConfiguration(
        is_client=False, idle_timeout=IDLE_SECONDS, alpn_protocols=list(ALPN)
    )
    try:
        configuration.load_cert_chain(*pair)
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise QUICReflectorError(
            f"{pair[0]}, {pair[1]}: no PEM certificate and key of it for QUIC ({error})"
        ) from None
    return configuration


def household(address: str) -> str:
    """What counts as one visitor: an IPv4 address, or a /64 of IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network(f"{ip}/64", strict=False))


def _door() -> type[QuicServer]:
    """The class of the server: what comes first must be large enough to be answered, and what the
    library cannot bear is no affair of the log's."""
    from aioquic.asyncio.server import QuicServer

    class Door(QuicServer):
        def datagram_received(self, data: bytes | str, addr: Any) -> None:
            assert isinstance(data, bytes)
            version = int.from_bytes(data[1:5], "big")
            stranger = version not in self._configuration.supported_versions
            if data[:1] >= bytes((_LONG_HEADER,)) and stranger and len(data) < _LEAST_FIRST:
                return  # RFC 9000 section 6.1: an answer would be larger than what came
            try:
                super().datagram_received(data, addr)
            except Exception:
                # A traceback for each bad datagram would let strangers fill the disk.
                return

    return Door


def _visitors(connection_seconds: float, max_connections: int) -> type[QuicConnectionProtocol]:
    """The class of connections, which count themselves and end in time."""
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.quic.events import ConnectionTerminated, QuicEvent

    inside: set[QuicConnectionProtocol] = set()
    each: Counter[str] = Counter()

    class Visitor(QuicConnectionProtocol):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self._too_many = len(inside) >= max_connections
            self._from = ""
            inside.add(self)
            loop = asyncio.get_running_loop()
            self._over = loop.call_later(connection_seconds, self.close)

        def datagram_received(self, data: bytes | str, addr: Any) -> None:
            if not self._from:
                self._from = household(addr[0])
                each[self._from] += 1
                self._too_many = self._too_many or each[self._from] > MOST_EACH
            super().datagram_received(data, addr)
            if self._too_many:
                self.close()

        def quic_event_received(self, event: QuicEvent) -> None:
            if isinstance(event, ConnectionTerminated):
                self._over.cancel()
                inside.discard(self)
                each[self._from] -= 1
                if each[self._from] <= 0:
                    del each[self._from]

    return Visitor
