# SPDX-License-Identifier: Apache-2.0
"""DNS questions over connections: TCP, DoT (RFC 7858) or DoH (RFC 8484, HTTP/2).

Bytes in, bytes out: `probes.net.dns_message` parses the reply. Errors are passed on with the phase
in which they occurred, so that a dropped port 853 and a foreign certificate stay distinct. The
caller limits the time."""

from __future__ import annotations

import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import h2.config
import h2.connection
import h2.events

from probes.net import tls
from probes.net.http_channel import HTTPChannel
from probes.net.network import Network, Stream
from probes.net.resolvers import ResolverRoute
from probes.runtime.options import authority
from probes.wire.failure import Failure

MEDIA_TYPE = "application/dns-message"
_MAX_CONTENT = 65535
"""Longest DNS message there is."""
_MAX_RECEIVED = 1 << 20
"""Bytes of HTTP/2 that one answer may take, frames of any kind included."""
MOST_IDLE_US = 10_000_000
"""So long an idle connection is kept: servers close theirs after ten seconds and more."""
MOST_UNOPENED = 6
"""After so many attempts in a row that opened none, a round asks no more there."""


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


class KeptConnections:
    """Connections to resolvers that a round has open: a handshake costs ten times a question. Each
    carries one question at a time."""

    def __init__(self) -> None:
        self._idle: dict[ResolverRoute, list[tuple[int, _Connection]]] = {}
        """With the time since when, by the network's clock."""
        self._unopened: Counter[ResolverRoute] = Counter()
        """How often in a row none could be opened."""
        self._closed = False

    def gave_up(self, route: ResolverRoute) -> bool:
        """Return whether a resolver could not be connected to several times in a row."""
        return self._unopened[route] >= MOST_UNOPENED

    def note_attempt(self, route: ResolverRoute, *, opened: bool) -> None:
        """Note that one was to be opened."""
        self._unopened[route] = 0 if opened else self._unopened[route] + 1

    def claim(self, route: ResolverRoute, now_us: int) -> _Connection | None:
        """Return one that no other question uses; those that were idle for long are closed, as the
        resolver, or a box on the path, may have forgotten them."""
        idle = self._idle.get(route, [])
        while idle:
            since_us, connection = idle.pop()
            if now_us - since_us < MOST_IDLE_US:
                return connection
            connection.close()
        return None

    def give_back(self, route: ResolverRoute, connection: _Connection, now_us: int) -> None:
        """Keep one that may carry another question."""
        if self._closed or not connection.reusable:
            connection.close()
        else:
            self._idle.setdefault(route, []).append((now_us, connection))

    def close(self) -> None:
        """Close all, now and from now on."""
        self._closed = True
        for idle in self._idle.values():
            for _, connection in idle:
                connection.close()
        self._idle.clear()


NONE_KEPT = KeptConnections()
NONE_KEPT.close()


async def exchange(
    network: Network,
    route: ResolverRoute,
    payload: bytes,
    phase: Phase,
    kept: KeptConnections = NONE_KEPT,
) -> bytes:
    """Return the bytes of the first reply to a question over TCP, DoT or DoH, over a connection of
    `kept` where one is idle. What fails there says nothing, and the question is asked over a new
    one.

    Raises OSError, ssl.SSLError, DestinationRefusedError or ExchangeError.
    """
    if (connection := kept.claim(route, network.clock_us())) is not None:
        with suppress(OSError, ExchangeError):
            phase.name, phase.asked_us = "query", network.clock_us()
            return await _ask(network, connection, route, payload, kept)
        phase.name = "connect"
    kept.note_attempt(route, opened=False)
    connection = await _open(network, route, phase)
    kept.note_attempt(route, opened=True)
    phase.name, phase.asked_us = "query", network.clock_us()
    return await _ask(network, connection, route, payload, kept)


async def _ask(
    network: Network,
    connection: _Connection,
    route: ResolverRoute,
    payload: bytes,
    kept: KeptConnections,
) -> bytes:
    """Ask, and keep the connection; it is closed when that fails or is cancelled."""
    try:
        answer = await connection.ask(payload)
    except BaseException:
        connection.close()
        raise
    kept.give_back(route, connection, network.clock_us())
    return answer


async def _open(network: Network, route: ResolverRoute, phase: Phase) -> _Connection:
    stream = await network.connect(route.address, route.port, narrow=True)
    try:
        client = None
        if route.transport in ("dot", "doh"):
            phase.name = "tls"
            alpn = ("h2",) if route.transport == "doh" else ()
            context = tls.context_for("default", route.trust, alpn=alpn)
            client = tls.TLSClient(context, route.server_name or route.address)
            await tls.handshake(stream, client)
        kind = _OverHTTP if route.transport == "doh" else _Framed
        return kind(stream, _Channel(stream, client), route)
    except BaseException:
        stream.close()
        raise


class _Connection(Protocol):
    """An open connection to a resolver."""

    reusable: bool
    """Another question may follow."""

    async def ask(self, payload: bytes) -> bytes:
        """Return the reply to a question."""

    def close(self) -> None:
        """Close at once."""


class _Framed:
    """RFC 1035 section 4.2.2: two bytes of length before each message."""

    def __init__(self, stream: Stream, channel: _Channel, route: ResolverRoute) -> None:
        self._channel, self.close, self.reusable = channel, stream.close, True

    async def ask(self, payload: bytes) -> bytes:
        await self._channel.send(struct.pack("!H", len(payload)) + payload)
        buffer = b""
        while len(buffer) < 2 or len(buffer) < 2 + int.from_bytes(buffer[:2], "big"):
            buffer += await self._channel.receive()
        end = 2 + int.from_bytes(buffer[:2], "big")
        self.reusable = len(buffer) == end
        return buffer[2:end]


class _OverHTTP:
    """RFC 8484 over HTTP/2."""

    def __init__(self, stream: Stream, channel: _Channel, route: ResolverRoute) -> None:
        self._channel, self._route, self.close = channel, route, stream.close
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._begun, self.reusable = False, True

    async def ask(self, payload: bytes) -> bytes:
        channel, connection = self._channel, self._connection
        if channel.alpn != "h2":
            raise ExchangeError(Failure.HTTP_REQUEST_FAILED, "no_h2")
        if not self._begun:
            connection.initiate_connection()
            self._begun = True
        stream_id = connection.get_next_available_stream_id()
        connection.send_headers(stream_id, _request(self._route, len(payload)))
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
            ended = False
            for event in events:
                ended = self._read(event, stream_id, content) or ended
            if waiting := connection.data_to_send():
                await channel.send(waiting)
            if ended:
                return bytes(content)

    def _read(self, event: h2.events.Event, stream_id: int, content: bytearray) -> bool:
        """Add what the event brings to the content; return whether that was the last of it."""
        if isinstance(event, h2.events.ConnectionTerminated):
            raise ExchangeError(Failure.HTTP_REQUEST_FAILED, "http_goaway")
        if getattr(event, "stream_id", None) != stream_id:
            return False
        match event:
            case h2.events.ResponseReceived():
                _accept(event.headers or [])
            case h2.events.DataReceived():
                content += event.data or b""
                if len(content) > _MAX_CONTENT:
                    raise ExchangeError(Failure.DNS_MISBEHAVING, "oversized")
                if event.flow_controlled_length:
                    self._connection.acknowledge_received_data(
                        event.flow_controlled_length, stream_id
                    )
            case h2.events.StreamReset():
                raise ExchangeError(Failure.HTTP_REQUEST_FAILED, "http_stream_reset")
        return isinstance(event, h2.events.StreamEnded)


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
