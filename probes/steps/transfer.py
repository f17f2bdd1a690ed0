# SPDX-License-Identifier: Apache-2.0
"""The step that fetches bytes over one connection, to see how fast the path lets them through.

The same request again and again on a connection that is kept alive (HTTP/1.1 or h2, as TLS
negotiated, or clear text), until there is enough. What the bytes say does not matter, nor does
the status. A far side that drips, floods or never ends its headers meets the same two bounds as
any other: so many bytes, so much time. Nothing is kept but counts.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11

from probes.net import tls
from probes.net.classify import failure, kernel_errno
from probes.net.http_channel import Wire, authority, h2_headers, http1_headers
from probes.net.network import Network, Stream
from probes.steps.goodput import Flow
from probes.wire.observation import Contrast, Purpose, Transfer
from probes.wire.speed import SLOW

WANTED_BYTES = 65536
MOST_REQUESTS = 16
_STATUS = re.compile(rb"\d{3}")
_WINDOW = 1 << 20
"""Flow control of h2 must not be what slows a transfer; browsers give more (Chrome: 6 MB)."""


@dataclass(frozen=True)
class Measure:
    """When a transfer has said enough: after `wanted` bytes that come at `enough` bytes a second,
    or for `seconds`; after `most` bytes; and after `limit` seconds in any case."""

    enough: int = SLOW
    wanted: int = WANTED_BYTES
    sure: int = WANTED_BYTES
    """Fewer bytes never end it by being fast: a machine that was busy finds as many as its socket
    holds (64 kB at first), and reads them at once."""
    most: int = 8 * WANTED_BYTES
    seconds: float = 1.5
    limit: float = 8.0
    silence: float = 4.0
    """Seconds without a byte after which the stream counts as frozen."""


class _EnoughError(Exception):
    """There is enough: the transfer ends well."""


class _Tap:
    """A Stream that notes when bytes arrive, as the socket gives them, and how long none do."""

    def __init__(
        self, network: Network, stream: Stream, measure: Measure, round_trip_us: int
    ) -> None:
        self._network, self._stream, self._measure = network, stream, measure
        self.begin_us = network.clock_us()
        self.flow = Flow(self.begin_us, round_trip_us)
        self.sent_bytes = 0
        self.status: int | None = None
        self.requests = 0
        self.begun = False
        """Bytes of the answer under way have come."""

    async def send(self, payload: bytes) -> None:
        self.sent_bytes += len(payload)
        await self._stream.send(payload)

    async def receive(self, limit: int = 16384) -> bytes:
        if self._enough(self._network.clock_us()):
            raise _EnoughError
        async with asyncio.timeout(self._measure.silence):
            received = await self._stream.receive(min(limit, 16384))
        if received:
            self.flow.arrived(self._network.clock_us(), len(received))
            self.begun = True
        return received

    def _enough(self, now_us: int) -> bool:
        measure, received_bytes = self._measure, self.flow.received_bytes
        if received_bytes < measure.wanted:
            return False
        if received_bytes >= measure.most or now_us - self.begin_us >= measure.seconds * 1e6:
            return True
        fast = min(self.flow.rate(now_us), self.flow.pace) >= measure.enough
        return fast and received_bytes >= measure.sure

    def close(self) -> None:
        self._stream.close()

    def asks(self) -> None:
        """A request is sent now."""
        self.flow.asked()
        self.begun = False

    def answered(self) -> None:
        """An answer is complete."""
        self.requests += 1
        self.begun = False


async def transfer(
    network: Network,
    stream: Stream,
    client: tls.TLSClient | None,
    *,
    endpoint: str,
    address: str,
    port: int,
    sni: str,
    host: str,
    path: str,
    started_us: int,
    turn: int,
    round_trip_us: int,
    purpose: Purpose = Purpose.SUBJECT,
    contrast: Contrast | None = None,
    measure: Measure | None = None,
) -> Transfer:
    """Fetch until there is enough, and return what was seen. The caller closes the stream.

    `sni` is the name that the handshake showed, `host` the one that the requests ask for,
    `round_trip_us` what the connection's SYN took. Evidence
    `short`: less came than was wanted, because the far side gave no more; `time_over`: the time
    was over while bytes were still coming.
    """
    measure = measure or Measure()
    tap = _Tap(network, stream, measure, round_trip_us)
    wire = Wire(tap, client)
    asked = authority(host or address, port, 80 if client is None else 443)
    failed: BaseException | None = None
    evidence: list[str] = []
    try:
        async with asyncio.timeout(measure.limit) as limit:
            if client is not None and client.alpn == "h2":
                await _fetch_h2(wire, tap, asked, path)
            else:
                await _fetch_http1(wire, tap, asked, path)
        evidence.append("short")
    except _EnoughError:
        pass
    except (OSError, EOFError, h11.RemoteProtocolError, h2.exceptions.H2Error) as error:
        if limit.expired() and tap.flow.received_bytes:
            evidence.append("time_over")
        elif tap.requests and not tap.begun and not isinstance(error, TimeoutError):
            evidence.append("short")  # closed between two answers, as servers may
        else:
            failed = error
    ended = network.clock_us()
    tap.flow.ended(ended)
    return Transfer(
        endpoint=endpoint,
        purpose=purpose,
        contrast=contrast,
        at_us=tap.begin_us - started_us,
        took_us=ended - tap.begin_us,
        failure=None if failed is None else failure(failed),
        errno=None if failed is None else kernel_errno(failed),
        evidence=tuple(evidence),
        address=address,
        port=port,
        sni=sni,
        turn=turn,
        tls=client is not None,
        requests=tap.requests,
        status=tap.status,
        wanted_bytes=measure.wanted,
        sent_bytes=tap.sent_bytes,
        received_bytes=tap.flow.received_bytes,
        first_us=tap.flow.first_us,
        silence_us=tap.flow.silence_us,
        rate=tap.flow.rate(ended),
        pace=tap.flow.pace,
        progress=tap.flow.progress,
    )


async def _fetch_http1(wire: Wire, tap: _Tap, host: str, path: str) -> None:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=65536)
    for _ in range(MOST_REQUESTS):
        request = h11.Request(method="GET", target=path, headers=http1_headers(host))
        head = connection.send(request) or b""
        connection.send(h11.EndOfMessage())
        tap.asks()
        await wire.send(head)
        await _read_answer(connection, wire, tap)
        tap.answered()
        if connection.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            return
        connection.start_next_cycle()


async def _read_answer(connection: h11.Connection, wire: Wire, tap: _Tap) -> None:
    ended = False
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError:
            if ended:
                raise EOFError from None
            raise
        match event:
            case h11.Response() as response:
                tap.status = tap.status or response.status_code
            case h11.EndOfMessage():
                return
            case h11.NEED_DATA:
                received = await wire.receive()
                ended = not received
                connection.receive_data(received)
            case h11.ConnectionClosed() | h11.PAUSED:
                raise EOFError
            case _:  # informational answers, and data, which was counted by the tap
                pass


async def _fetch_h2(wire: Wire, tap: _Tap, host: str, path: str) -> None:
    connection = h2.connection.H2Connection(
        h2.config.H2Configuration(client_side=True, header_encoding=None)
    )
    connection.initiate_connection()
    connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW})
    connection.increment_flow_control_window(_WINDOW)
    headers = h2_headers(host, path)
    for number in range(MOST_REQUESTS):
        stream = 2 * number + 1
        connection.send_headers(stream, headers, end_stream=True)
        tap.asks()
        await wire.send(connection.data_to_send())
        going_away = await _read_h2(connection, wire, tap, stream)
        tap.answered()
        if going_away:
            return


async def _read_h2(
    connection: h2.connection.H2Connection, wire: Wire, tap: _Tap, stream: int
) -> bool:
    """Read until the stream has ended; True when the far side wants no further one."""
    complete = going_away = False
    while not complete:
        received = await wire.receive()
        if not received:
            raise EOFError
        for event in connection.receive_data(received):
            if getattr(event, "stream_id", stream) != stream:
                continue  # pushed: no answer, and counted by the tap
            match event:
                case h2.events.ResponseReceived():
                    word = dict(event.headers or ()).get(b":status", b"")
                    tap.status = tap.status or (int(word) if _STATUS.fullmatch(word) else None)
                case h2.events.DataReceived():
                    size = event.flow_controlled_length or 0
                    connection.acknowledge_received_data(size, stream)
                case h2.events.StreamEnded():
                    complete = True
                case h2.events.StreamReset():
                    raise h2.exceptions.ProtocolError(f"stream reset, code {event.error_code}")
                case h2.events.ConnectionTerminated():
                    if event.error_code != h2.errors.ErrorCodes.NO_ERROR:
                        raise h2.exceptions.ProtocolError(f"goaway, code {event.error_code}")
                    going_away = True
        if waiting := connection.data_to_send():
            await wire.send(waiting)
    return going_away
