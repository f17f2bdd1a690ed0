# SPDX-License-Identifier: Apache-2.0
"""MQTT over WebSocket at the web server's name and port, for probes that reach no broker's port.

The web server carries the bytes; the broker's own side of a connection reads and writes them, so
that its limits hold. What is limited here is what a broker does not see: frames.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from monitor.broker.connection import PACKET_LIMIT
from monitor.broker.embedded import CLOSE_SECONDS, MAX_PER_ADDRESS
from monitor.http_server import MAX_CONNECTIONS, SWITCH
from monitor.listener import connection_limit, one_address
from monitor.web.site import SITE
from monitor.web.websocket_frames import (
    CloseCode,
    FrameError,
    FrameReader,
    accept_value,
    close_frame,
    frame,
)
from probes.runtime.broker_url import parse_way

PATH = "/mqtt"
SUBPROTOCOL = "mqtt"
FRAME_BYTES = PACKET_LIMIT + 5
"""A packet, with the five bytes before it."""
FRAMES_AT_ONCE, FRAMES_A_SECOND = 1024, 64
"""A client sends one frame for a packet, and most send few in a minute."""
FRAME_WORTH_BYTES = 1024
"""A frame for so many bytes is none too many: some clients divide packets."""
RETRY_SECONDS = "30"


class Streams:
    """The connections that are open now."""

    def __init__(self) -> None:
        self.most = connection_limit(MAX_CONNECTIONS) // 2
        """The others are for pages."""
        self._open: dict[_Stream, str] = {}

    def full(self, address: str) -> bool:
        """Whether one more of this address would be too many."""
        key = one_address(address)
        of_it = sum(1 for known in self._open.values() if known == key) if key else 0
        return len(self._open) >= self.most or of_it >= MAX_PER_ADDRESS

    def add(self, stream: _Stream, address: str) -> None:
        """Count a connection until `discard`."""
        self._open[stream] = one_address(address)

    def discard(self, stream: _Stream) -> None:
        """A connection has ended."""
        self._open.pop(stream, None)

    async def close(self, app: web.Application) -> None:
        """End all of them, because the server stops."""
        for stream in list(self._open):
            stream.transport.end(CloseCode.GOING_AWAY)


STREAMS: web.AppKey[Streams] = web.AppKey("streams", Streams)


def way_of(public_url: str) -> tuple[str, ...]:
    """Return the way by which probes reach a web server at this URL so; none where the secret could
    be read by others."""
    way = f"ws{public_url.removeprefix('http')}{PATH}"
    return () if parse_way(way).exposed else (way,)


async def connect(request: web.Request) -> web.StreamResponse:
    """Join a client to the broker until one of them ends the connection."""
    reception, switch = request.app[SITE].reception, request.app.get(SWITCH)
    if reception is None or reception.stream is None or switch is None:
        raise web.HTTPNotFound(reason="No MQTT is served here.")
    accepted = _accepted(request)
    address, streams = request.remote or "", request.app[STREAMS]
    if streams.full(address):
        busy = "There are too many connections."
        raise web.HTTPServiceUnavailable(reason=busy, headers={"Retry-After": RETRY_SECONDS})
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accepted,
        "Sec-WebSocket-Protocol": SUBPROTOCOL,
    }
    response = web.StreamResponse(status=101, headers=headers)
    await response.prepare(request)
    response.force_close()
    below = request.transport
    if below is None:
        return response
    transport, side = _Framed(below), reception.stream(address)
    if side is None:
        transport.end(CloseCode.TRY_AGAIN)
        return response
    stream = _Stream(side, transport)
    streams.add(stream, address)
    try:
        switch(below, stream)
        stream.begin()
        await stream.ended
    finally:
        streams.discard(stream)
    return response


def _accepted(request: web.Request) -> str:
    """The answer to a client's key. Raises HTTPException for what is no request of this kind."""
    headers = request.headers
    offered = {word.strip() for word in headers.get("Sec-WebSocket-Protocol", "").split(",")}
    accepted = accept_value(headers.get("Sec-WebSocket-Key", ""))
    if (
        headers.get("Upgrade", "").lower() != "websocket"
        or headers.get("Sec-WebSocket-Version") != "13"
        or SUBPROTOCOL not in offered
        or accepted is None
    ):
        raise web.HTTPBadRequest(
            reason="This address serves MQTT over WebSocket, version 13, subprotocol mqtt."
        )
    return accepted


class _Framed(asyncio.Transport):
    """A connection as the broker sees it: what is written goes out in frames."""

    def __init__(self, below: asyncio.Transport) -> None:
        super().__init__()
        self._below = below

    def write(self, data: Any) -> None:
        self._below.write(frame(bytes(data)))

    def write_plain(self, frames: bytes) -> None:
        """Write whole frames."""
        if frames and not self._below.is_closing():
            self._below.write(frames)

    def end(self, code: CloseCode) -> None:
        """Say why, and close the connection once everything is written."""
        if not self._below.is_closing():
            self._below.write(close_frame(code))
            self._below.close()
            # A client that reads nothing would keep it open.
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._below.abort)

    def close(self) -> None:
        self.end(CloseCode.NORMAL)

    def abort(self) -> None:
        self._below.abort()

    def is_closing(self) -> bool:
        return self._below.is_closing()

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._below.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._below.get_write_buffer_size()


class _Stream(asyncio.Protocol):
    """One connection once it has left HTTP: frames in, and the broker's side behind them."""

    def __init__(self, side: asyncio.Protocol, transport: _Framed) -> None:
        self._side, self.transport = side, transport
        self._reader = FrameReader(FRAME_BYTES)
        self._loop = asyncio.get_running_loop()
        self._credit, self._counted = float(FRAMES_AT_ONCE), self._loop.time()
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def begin(self) -> None:
        """Give the connection to the broker's side."""
        self._side.connection_made(self.transport)

    def data_received(self, data: bytes) -> None:
        now = self._loop.time()
        earned = (now - self._counted) * FRAMES_A_SECOND
        self._counted = now
        self._credit = min(FRAMES_AT_ONCE, self._credit + earned) + len(data) / FRAME_WORTH_BYTES
        reader = self._reader
        reader.credit = allowed = int(self._credit)
        try:
            payload = reader.receive(data)
        except FrameError as error:
            self.transport.end(error.code)
            return
        self._credit -= allowed - reader.credit
        self.transport.write_plain(reader.take_replies())
        if payload:
            self._side.data_received(payload)
        if reader.closed:
            self.transport.close()

    def pause_writing(self) -> None:
        self._side.pause_writing()

    def resume_writing(self) -> None:
        self._side.resume_writing()

    def connection_lost(self, error: Exception | None) -> None:
        self._side.connection_lost(error)
        if not self.ended.done():
            self.ended.set_result(None)
