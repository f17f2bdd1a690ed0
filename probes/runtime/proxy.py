# SPDX-License-Identifier: Apache-2.0
"""A proxy that the volunteer names: SOCKS5 (RFC 1928, 1929) or HTTP CONNECT (RFC 9110, 9.3.6).

It resolves the names itself, so any tunnel works and nothing of the connection shows here. Reads
take no byte more than the answer: what follows belongs to the connection inside.
"""

from __future__ import annotations

import base64
import ipaddress
import time
from urllib.parse import unquote, urlsplit

import msgspec

from probes.runtime.options import authority
from probes.runtime.traffic_meter import OpenSocket

PORTS = {"socks5h": 1080, "http": 8080}
MOST_HEAD_BYTES = 8192
_REFUSALS = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}
"""Replies of SOCKS5, RFC 1928, section 6."""


class ProxyError(ConnectionError):
    """The proxy did not open the connection. One line, no secret."""


class Proxy(msgspec.Struct, frozen=True, kw_only=True):
    """Where a proxy is."""

    scheme: str
    host: str
    port: int
    user: str = ""
    secret: str = ""

    @property
    def name(self) -> str:
        """The URL without user and secret, for logs."""
        return f"{self.scheme}://{authority(self.host, self.port)}"


def parse_proxy(text: str) -> Proxy:
    """Return the proxy that a URL names. Raises ValueError with the reason, which does not repeat
    the URL: it may hold a password."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("not a URL") from None
    if parts.scheme not in PORTS:
        raise ValueError("must begin with socks5h:// or http://")
    if not parts.hostname:
        raise ValueError("names no host")
    user, secret = unquote(parts.username or ""), unquote(parts.password or "")
    if not user.isprintable() or not secret.isprintable() or ":" in user:
        raise ValueError("user and password must be printable, and the user without a colon")
    if max(len(user.encode()), len(secret.encode())) > 255:
        raise ValueError("user and password must be at most 255 bytes")
    return Proxy(
        scheme=parts.scheme,
        host=parts.hostname,
        port=port or PORTS[parts.scheme],
        user=user,
        secret=secret,
    )


def open_tunnel(sock: OpenSocket, proxy: Proxy, host: str, port: int, deadline: float) -> None:
    """Have the proxy at the other end of `sock` connect to a host by name or address. Blocks until
    `deadline` (monotonic seconds) at most. Raises OSError."""
    stream = _Stream(sock, deadline)
    if proxy.scheme == "http":
        _connect(stream, proxy, host, port)
    else:
        _socks(stream, proxy, host, port)


class _Stream:
    """Exact reads and whole writes until a deadline."""

    def __init__(self, sock: OpenSocket, deadline: float) -> None:
        self._sock, self._deadline = sock, deadline

    def send(self, payload: bytes) -> None:
        self._wait()
        self._sock.sendall(payload)

    def receive(self, count: int) -> bytes:
        received = b""
        while len(received) < count:
            self._wait()
            chunk = self._sock.recv(count - len(received))
            if not chunk:
                raise ProxyError("the proxy closed the connection")
            received += chunk
        return received

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the proxy did not answer in time")
        self._sock.settimeout(left)


def _socks(stream: _Stream, proxy: Proxy, host: str, port: int) -> None:
    stream.send(b"\x05\x02\x00\x02" if proxy.user else b"\x05\x01\x00")
    version, method = stream.receive(2)
    if version != 5:
        raise ProxyError("the proxy speaks no SOCKS5")
    if method == 2 and proxy.user:
        user, secret = proxy.user.encode(), proxy.secret.encode()
        stream.send(bytes((1, len(user))) + user + bytes((len(secret),)) + secret)
        if stream.receive(2)[1] != 0:
            raise ProxyError("the proxy refused user and password")
    elif method != 0:
        raise ProxyError("the proxy wants a user and password that it was not given")
    stream.send(b"\x05\x01\x00" + _destination(host) + port.to_bytes(2))
    _, reply, _, kind = stream.receive(4)
    if reply:
        raise ProxyError(f"the proxy did not connect: {_REFUSALS.get(reply, f'reply {reply}')}")
    if kind not in (1, 3, 4):
        raise ProxyError("the proxy's answer is not SOCKS5")
    length = {1: 4, 4: 16}.get(kind) or stream.receive(1)[0]
    stream.receive(length + 2)  # where it connects from


def _destination(host: str) -> bytes:
    """The address in a request: a name stays a name, for the proxy to resolve."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode("idna")
        return bytes((3, len(name))) + name
    return (b"\x01" if address.version == 4 else b"\x04") + address.packed


def _connect(stream: _Stream, proxy: Proxy, host: str, port: int) -> None:
    place = authority(host, port)
    lines = [f"CONNECT {place} HTTP/1.1", f"Host: {place}"]
    if proxy.user:
        both = base64.b64encode(f"{proxy.user}:{proxy.secret}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {both}")
    stream.send(("\r\n".join(lines) + "\r\n\r\n").encode())
    head = b""
    while not head.endswith((b"\r\n\r\n", b"\n\n")):
        if len(head) > MOST_HEAD_BYTES:
            raise ProxyError("the proxy's answer is too long")
        head += stream.receive(1)
    words = head.split(b"\r\n", 1)[0].split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise ProxyError("the proxy's answer is not HTTP")
    if not 200 <= int(words[1]) < 300:
        raise ProxyError(f"the proxy did not connect: HTTP status {int(words[1])}")
