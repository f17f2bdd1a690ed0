# SPDX-License-Identifier: Apache-2.0
"""The QUIC part of the reflector: completes a handshake for any name and answers nothing. Needs the
extra `quic`; stores nothing and never logs an address.

It cannot be used to amplify traffic to a forged address: a client must first return a token (Retry,
RFC 9000 section 8.1.2), which costs no memory and fewer bytes than the client sent.
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
"""HTTP/3, DNS, and the protocol of interoperability tests. A list without any of them gets an
alert, which is an answer as well."""
MAX_PER_CLIENT = 32
"""Connections of one client at once: one client must not lock out the others."""
_LEAST_FIRST = 1200
"""Bytes of a client's first datagram (RFC 9000 section 14.1)."""
_LONG_HEADER = 0x80


class QUICReflectorError(Exception):
    """QUIC cannot be served. The text is one line: what and why."""


@asynccontextmanager
async def serve_quic(
    host: str,
    port: int,
    pair: tuple[Path, Path],
    *,
    connection_seconds: float,
    max_connections: int,
) -> AsyncIterator[None]:
    """Complete QUIC on UDP `host:port` with this certificate and key while the context lasts.

    A connection lasts `connection_seconds` at most. Beyond `max_connections`, or MAX_PER_CLIENT of
    one client, new connections are closed at once. Raises QUICReflectorError.
    """
    configuration = _configuration(pair)
    protocol, server_type = _protocol(connection_seconds, max_connections), _server_type()
    try:
        _, server = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: server_type(configuration=configuration, create_protocol=protocol, retry=True),
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
            f"{pair[0]}, {pair[1]}: not a PEM certificate with its key for QUIC ({error})"
        ) from None
    return configuration


def client_of(address: str) -> str:
    """Return what counts as one client: an IPv4 address, or a /64 of IPv6."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network(f"{ip}/64", strict=False))


def _server_type() -> type[QuicServer]:
    """The server class, which ignores first datagrams too small to be answered, and datagrams at
    which the library raises."""
    from aioquic.asyncio.server import QuicServer

    class Server(QuicServer):
        def datagram_received(self, data: bytes | str, addr: Any) -> None:
            assert isinstance(data, bytes)
            version = int.from_bytes(data[1:5], "big")
            unsupported = version not in self._configuration.supported_versions
            if data[:1] >= bytes((_LONG_HEADER,)) and unsupported and len(data) < _LEAST_FIRST:
                return  # RFC 9000 section 6.1: the answer would be larger
            try:
                super().datagram_received(data, addr)
            except Exception:
                # Logging a traceback for each bad datagram would let anybody fill the disk.
                return

    return Server


def _protocol(connection_seconds: float, max_connections: int) -> type[QuicConnectionProtocol]:
    """The connection class, which counts its connections and limits their time."""
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.quic.events import ConnectionTerminated, QuicEvent

    connections: set[QuicConnectionProtocol] = set()
    per_client: Counter[str] = Counter()

    class Connection(QuicConnectionProtocol):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._too_many = len(connections) >= max_connections
            self._client = ""
            if not self._too_many:
                connections.add(self)
            loop = asyncio.get_running_loop()
            self._time_limit = loop.call_later(connection_seconds, self.close)

        def datagram_received(self, data: bytes | str, addr: Any) -> None:
            if not self._client:
                self._client = client_of(addr[0])
                self._too_many = self._too_many or per_client[self._client] >= MAX_PER_CLIENT
                # Those that are refused do not count: they end a while later, and somebody who
                # tries again and again would keep all places taken.
                if self._too_many:
                    connections.discard(self)
                else:
                    per_client[self._client] += 1
            super().datagram_received(data, addr)
            if self._too_many:
                self.close()

        def quic_event_received(self, event: QuicEvent) -> None:
            if isinstance(event, ConnectionTerminated):
                self._time_limit.cancel()
                if self in connections:
                    connections.discard(self)
                    per_client[self._client] -= 1
                    if per_client[self._client] <= 0:
                        del per_client[self._client]

    return Connection
