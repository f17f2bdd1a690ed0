# SPDX-License-Identifier: Apache-2.0
"""A connection to the monitor's web server: HTTP/1.1 requests one after the other, kept open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import h11
import msgspec

from probes.runtime.broker_url import Broker, BrokerError
from probes.runtime.dial import dial
from probes.runtime.monitor_tls import MonitorTLS, monitor_tls
from probes.runtime.options import authority
from probes.runtime.stall import while_moving
from probes.runtime.traffic_meter import TrafficMeter, stream_bytes

HANDSHAKE_SECONDS = 12.0
ANSWER_SECONDS = 15.0
"""For the answer once the request has arrived: the monitor waits 10 s for its store."""
_READ_BYTES = 16 << 10
_PORTS = {"http": 80, "https": 443}


class MonitorAnswer(msgspec.Struct, frozen=True):
    """What was answered to a request."""

    status: int
    body: bytes


class HTTPConnection:
    """One connection. Errors of the network are raised as they come."""

    def __init__(
        self,
        broker: Broker,
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        meter: TrafficMeter,
        count_read: Callable[[int], bool],
        tls: MonitorTLS | None,
    ) -> None:
        self._broker, self._meter, self._count_read, self._tls = broker, meter, count_read, tls
        self._reader, self._writer = streams
        self._protocol = h11.Connection(h11.CLIENT)
        self._sock: Any = self._writer.get_extra_info("socket")
        meter.watch(self.wire_bytes)

    @property
    def is_reusable(self) -> bool:
        """Whether another request may be sent over it."""
        return self._protocol.our_state is h11.IDLE and not self._reader.at_eof()

    def wire_bytes(self) -> int:
        """What it has carried, in bytes of packets."""
        return stream_bytes(self._sock)

    async def post(
        self, target: str, body: bytes, headers: Mapping[str, str], most: int
    ) -> MonitorAnswer:
        """Send a request and return the answer, of whose body at most `most` bytes are read. Raises
        OSError, StalledError, h11.ProtocolError, and BrokerError for an answer that is too long."""
        usual = _PORTS[self._broker.scheme] == self._broker.port
        host = authority(self._broker.host, self._broker.port)
        named = [
            ("Host", self._broker.host if usual else host),
            ("Content-Length", str(len(body))),
            *headers.items(),
        ]
        request = h11.Request(method="POST", target=self._broker.path + target, headers=named)
        async with while_moving(self._sock, ANSWER_SECONDS):
            for event in (request, h11.Data(data=body), h11.EndOfMessage()):
                self._writer.write(self._protocol.send(event) or b"")
            await self._writer.drain()
            return await self._answer(most)

    async def _answer(self, most: int) -> MonitorAnswer:
        status, body = 0, b""
        while True:
            event = self._protocol.next_event()
            match event:
                case h11.NEED_DATA:
                    chunk = await self._reader.read(_READ_BYTES)
                    if not self._count_read(len(chunk)):
                        raise BrokerError("the monitor sent too much")
                    self._protocol.receive_data(chunk)
                case h11.Response():
                    status = event.status_code
                case h11.Data():
                    body += event.data
                    if len(body) > most:
                        raise BrokerError(f"an answer of more than {most} bytes")
                case h11.EndOfMessage():
                    if self._protocol.our_state is h11.DONE is self._protocol.their_state:
                        self._protocol.start_next_cycle()
                    return MonitorAnswer(status, body)
                case h11.ConnectionClosed() | h11.PAUSED:
                    raise EOFError("the connection ended before the answer")

    def close(self) -> int:
        """End it, and return what it has carried. What is not sent yet is not sent any more."""
        if self._tls is not None:
            self._tls.remember(self._broker.host, self._writer.get_extra_info("ssl_object"))
        carried = 0
        with contextlib.suppress(OSError):
            carried = self.wire_bytes()
            self._meter.unwatch(self.wire_bytes)
        if self._reader.at_eof() or self._protocol.our_state is not h11.IDLE:
            self._writer.transport.abort()
        else:
            self._writer.close()
        return carried


async def open_http(
    broker: Broker,
    meter: TrafficMeter,
    count_read: Callable[[int], bool],
    tls: MonitorTLS | None = None,
) -> HTTPConnection:
    """Connect. `meter` counts what is carried, `count_read` is told what was read and returns False
    to end the connection; `tls` replaces the context of all ways. Raises OSError."""
    sock = await asyncio.to_thread(dial, broker, meter.add)
    if not broker.encrypted:
        streams = await asyncio.open_connection(sock=sock)
        return HTTPConnection(broker, streams, meter, count_read, None)
    # asyncio closes the socket of a handshake that fails before its bytes could be counted.
    counted = sock.dup()
    try:
        context = tls or await asyncio.to_thread(monitor_tls)
        streams = await asyncio.open_connection(
            sock=sock,
            ssl=context,
            server_hostname=broker.host,
            ssl_handshake_timeout=HANDSHAKE_SECONDS,
        )
    except BaseException:
        meter.add(stream_bytes(counted))
        sock.close()
        raise
    finally:
        counted.close()
    return HTTPConnection(broker, streams, meter, count_read, context)
