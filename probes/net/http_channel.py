# SPDX-License-Identifier: Apache-2.0
"""What all HTTP of the probe has in common: the connection, clear or encrypted, and the headers of
a request, which are a browser's.
"""

from __future__ import annotations

from probes.net import tls
from probes.net.network import Stream

# No product name of ours: what Chrome on Android sends (reduced form, Chrome 140, 2025-09).
HEADERS = (
    (
        "user-agent",
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Mobile Safari/537.36",
    ),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-US,en;q=0.9"),
)


class HTTPChannel:
    """A connection, clear or encrypted, that counts its bytes."""

    def __init__(self, stream: Stream, client: tls.TLSClient | None) -> None:
        self._stream = stream
        self._client = client
        self._sent = self._received = 0
        self._base = (client.sent_bytes, client.received_bytes) if client else (0, 0)

    async def send(self, plain: bytes) -> None:
        """Send, encrypted where the connection is. Raises OSError and ssl.SSLError."""
        if self._client is not None:
            await tls.send(self._stream, self._client, plain)
        else:
            self._sent += len(plain)
            await self._stream.send(plain)

    async def receive(self) -> bytes:
        """Return the next bytes in clear, empty when the server closed. Raises as `send` does."""
        if self._client is not None:
            return await tls.receive(self._stream, self._client)
        received = await self._stream.receive()
        self._received += len(received)
        return received

    @property
    def alpn(self) -> str | None:
        """The application protocol that TLS negotiated, if any."""
        return self._client.alpn if self._client else None

    @property
    def sent_bytes(self) -> int:
        """Bytes sent on the connection since the handshake."""
        return self._client.sent_bytes - self._base[0] if self._client else self._sent

    @property
    def received_bytes(self) -> int:
        """Bytes received on the connection since the handshake."""
        return self._client.received_bytes - self._base[1] if self._client else self._received


def http1_headers(host: str) -> list[tuple[str, str]]:
    """Headers of HTTP/1.1 as a browser orders and spells them; h11 keeps the spelling."""
    headers = [("Host", host), ("Connection", "keep-alive")]
    return headers + [(name.title(), value) for name, value in HEADERS]


def h2_headers(host: str, path: str) -> list[tuple[str, str]]:
    """Headers of h2, pseudo-headers first."""
    return [
        (":method", "GET"),
        (":authority", host),
        (":scheme", "https"),
        (":path", path),
        *HEADERS,
    ]
