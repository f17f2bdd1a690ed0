# SPDX-License-Identifier: Apache-2.0
"""One DNS question over one connection: TCP, DoT (RFC 7858) or DoH (RFC 8484, HTTP/2).

Bytes in, bytes out: `probes.net.dns_message` parses the reply. Errors are passed on with the phase
in which they occurred, so that a dropped port 853 and a foreign certificate stay distinct. The
caller limits the time."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.events

from probes.net import tls
from probes.net.http_channel import HTTPChannel
from probes.net.network import Network
from probes.net.resolvers import ResolverRoute
from probes.runtime.options import authority
from probes.wire.failure import Failure

MEDIA_TYPE = "application/dns-message"
_MAX_CONTENT = 65535
"""Longest DNS message there is."""
_MAX_RECEIVED = 1 << 20
"""Bytes of HTTP/2 that one answer may take, frames of any kind included."""


class ExchangeError(Exception):
    """The server answered, but not as the protocol demands. `failure` is OONI's string, `evidence`
    ours."""

    def __init__(self, failure: Failure, evidence: str) -> None:
        super().__init__(evidence)
        self.failure = failure
        self.evidence = evidence


@dataclass
class Phase:
    """How far an exchange has come; valid after an exception as well."""

    name: str = "connect"
    """`connect`, `tls` or `query`."""
    asked_us: int = 0
    """When the phase `query` began, on the network's clock."""


class _Channel(HTTPChannel):
    """A connection whose end before the reply is an error."""

    async def receive(self) -> bytes:
        received = await super().receive()
        if not received:
            raise ExchangeError(Failure.EOF, "closed_without_answer")
        return received


async def exchange(network: Network, route: ResolverRoute, payload: bytes, phase: Phase) -> bytes:
    """Return the bytes of the first reply to a question over TCP, DoT or DoH.

    Raises OSError, ssl.SSLError, DestinationRefusedError or ExchangeError.
    """
    async with _opened(network, route, phase) as channel:
        if route.transport == "doh":
            return await _over_http(channel, route, payload)
        return await _framed(channel, payload)


@asynccontextmanager
async def _opened(network: Network, route: ResolverRoute, phase: Phase) -> AsyncIterator[_Channel]:
    stream = await network.connect(route.address, route.port, narrow=True)
    try:
        client = None
        if route.transport in ("dot", "doh"):
            phase.name = "tls"
            alpn = ("h2",) if route.transport == "doh" else ()
            context = tls.context_for("default", route.trust, alpn=alpn)
            client = tls.TLSClient(context, route.server_name or route.address)
            await tls.handshake(stream, client)
        phase.name, phase.asked_us = "query", network.clock_us()
        yield _Channel(stream, client)
    finally:
        stream.close()


async def _framed(channel: _Channel, payload: bytes) -> bytes:
    """RFC 1035 section 4.2.2: two bytes of length before each message."""
    await channel.send(struct.pack("!H", len(payload)) + payload)
    buffer = b""
    while len(buffer) < 2 or len(buffer) < 2 + int.from_bytes(buffer[:2], "big"):
        buffer += await channel.receive()
    return buffer[2 : 2 + int.from_bytes(buffer[:2], "big")]


async def _over_http(channel: _Channel, route: ResolverRoute, payload: bytes) -> bytes:
    if channel.alpn != "h2":
        raise ExchangeError(Failure.HTTP_REQUEST_FAILED, "no_h2")
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
    connection.initiate_connection()
    stream_id = connection.get_next_available_stream_id()
    connection.send_headers(stream_id, _request(route, len(payload)))
    connection.send_data(stream_id, payload, end_stream=True)
    await channel.send(connection.data_to_send())
    content, received = bytearray(), 0
    while True:
        chunk = await channel.receive()
        received += len(chunk)
        if received > _MAX_RECEIVED:
            raise ExchangeError(Failure.HTTP_REQUEST_FAILED, "http_oversized")
        try:
            events = connection.receive_data(chunk)
        except Exception:
            # Only the library runs here, on hostile frames.
            raise ExchangeError(Failure.HTTP_REQUEST_FAILED, "http_malformed") from None
        for event in events:
            if isinstance(event, h2.events.ConnectionTerminated):
                raise ExchangeError(Failure.HTTP_REQUEST_FAILED, "http_goaway")
            if getattr(event, "stream_id", None) != stream_id:
                continue
            match event:
                case h2.events.ResponseReceived():
                    _accept(event.headers or [])
                case h2.events.DataReceived():
                    content += event.data or b""
                    if len(content) > _MAX_CONTENT:
                        raise ExchangeError(Failure.DNS_MISBEHAVING, "oversized")
                    if event.flow_controlled_length:
                        connection.acknowledge_received_data(
                            event.flow_controlled_length, stream_id
                        )
                case h2.events.StreamReset():
                    raise ExchangeError(Failure.HTTP_REQUEST_FAILED, "http_stream_reset")
                case h2.events.StreamEnded():
                    return bytes(content)
        if waiting := connection.data_to_send():
            await channel.send(waiting)


def _request(route: ResolverRoute, length: int) -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", authority(route.server_name or route.address, route.port, 443)),
        (":path", route.path or "/dns-query"),
        ("accept", MEDIA_TYPE),
        ("content-type", MEDIA_TYPE),
        ("content-length", str(length)),
    ]


def _accept(headers: list[tuple[bytes, bytes]]) -> None:
    """Raise ExchangeError unless the headers announce a DNS message."""
    named = {bytes(name).lower(): bytes(value) for name, value in headers}
    status = named.get(b":status", b"")
    if status != b"200":
        code = status.decode("ascii", "replace")
        raise ExchangeError(
            Failure.HTTP_REQUEST_FAILED,
            f"http_{code}"
            if code.isascii() and code.isdigit() and len(code) == 3
            else "http_status",
        )
    if named.get(b"content-type", b"").partition(b";")[0].strip().lower() != MEDIA_TYPE.encode():
        raise ExchangeError(Failure.DNS_MISBEHAVING, "no_dns_message")
