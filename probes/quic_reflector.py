"""The reflector's QUIC half: it completes a handshake for any name, and has nothing to say. Needs
the extra `quic`; it keeps nothing, and never logs who came.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.quic.configuration import QuicConfiguration

IDLE_SECONDS = 10.0
ALPN = ("h3", "doq", "hq-interop")
"""HTTP/3, DNS, and what tests of interoperability speak. To a list without any of them the answer
is an alert, which is an answer as well."""


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

    A connection lasts `connection_seconds` at most; over `max_connections` newcomers are closed
    at once. Raises QUICReflectorError.
    """
    from aioquic.asyncio.server import serve

    configuration = _configuration(pair)
    made = _visitors(connection_seconds, max_connections)
    try:
        server = await serve(host, port, configuration=configuration, create_protocol=made)
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


def _visitors(connection_seconds: float, max_connections: int) -> type[QuicConnectionProtocol]:
    """The class of connections, which count themselves and end in time."""
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.quic.events import ConnectionTerminated, QuicEvent

    inside: set[QuicConnectionProtocol] = set()

    class Visitor(QuicConnectionProtocol):
        def __init__(self, *given: Any, **named: Any) -> None:
            super().__init__(*given, **named)
            self._too_many = len(inside) >= max_connections
            inside.add(self)
            loop = asyncio.get_running_loop()
            self._over = loop.call_later(connection_seconds, self.close)

        def datagram_received(self, data: bytes | str, addr: Any) -> None:
            super().datagram_received(data, addr)
            if self._too_many:
                self.close()

        def quic_event_received(self, event: QuicEvent) -> None:
            if isinstance(event, ConnectionTerminated):
                self._over.cancel()
                inside.discard(self)

    return Visitor
