# SPDX-License-Identifier: Apache-2.0
"""The transfer step: fetches bytes over one connection to measure the goodput of the path.

The same request is repeated on one connection (HTTP/1.1, or h2 where TLS negotiated it) until
enough has arrived. Neither the content nor the status matters. Bytes and time are limited, so that
a server that drips, floods or never ends its headers costs no more than any other. Only counts are
kept.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11

from probes.net import tls
from probes.net.http_channel import HTTPChannel, h2_headers, http1_headers
from probes.net.limits import within
from probes.net.network import Network, Stream
from probes.runtime.options import authority
from probes.steps.context import StepContext, failure_fields
from probes.wire.observation import Progress, Transfer
from probes.wire.speed import SLOW

WANTED_BYTES = 65536
MOST_REQUESTS = 16
_STATUS = re.compile(rb"\d{3}")
_WINDOW = 1 << 20
"""So large that the flow control of h2 slows no transfer; browsers allow more (Chrome: 6 MB)."""
BURST_BYTES = 4096
"""Three full segments of 1,448 bytes: a sender may have as few in flight after losses."""
MOST_POINTS = 32
_STEPS = 8
"""Classes of rates per doubling."""
FASTEST = 1_000_000_000
"""Bytes a second; higher rates are cut to this."""


@dataclass(frozen=True)
class TransferLimits:
    """When a transfer ends: once `wanted` bytes have arrived, at `enough` bytes a second or after
    `seconds`; at `most` bytes; and after `limit` seconds in any case."""

    enough: int = SLOW
    wanted: int = WANTED_BYTES
    sure: int = WANTED_BYTES
    """Fewer bytes never count as fast: after a busy moment the machine reads at once all that its
    socket holds (64 kB at first)."""
    most: int = 8 * WANTED_BYTES
    seconds: float = 1.5
    limit: float = 8.0
    silence: float = 4.0
    """Seconds without a byte after which the stream counts as frozen."""


class _EnoughError(Exception):
    """Enough has arrived: the transfer ends without a failure."""


class _Point(NamedTuple):
    at_us: int
    received_bytes: int
    waits_us: int


class GoodputMeter:
    """Measures how fast bytes arrive on one connection, whatever its round-trip time. No I/O.

    The far side sends a burst, waits a round trip for our acknowledgement, and only then may send
    more. On a long path a short transfer consists of such waits, which say nothing of the capacity.
    So there are two figures beside the plain time:

    - `rate`: over the second half of the bytes, when the sender has found its speed, without waits
      that a round trip explains: those after a burst or after a request of ours, at least half a
      round trip long, and at most one round trip of each.
    - `pace`: the speed at which the middle byte followed the one before it. A bottleneck spaces all
      packets evenly; where only distance and loss slow a transfer, most bytes arrive back to back.

    A shaper lowers both. A policer, which drops the excess, lowers the first alone. On a lossy line
    only the second is free of what losses cost.

    Times are microseconds of one clock; `round_trip_us` is how long the connect took.
    """

    def __init__(self, begin_us: int, round_trip_us: int) -> None:
        self._begin_us = self._last_us = begin_us
        self._round_trip_us = round_trip_us
        self._classes: Counter[int] = Counter()
        self._waits_us = 0
        self._burst_bytes = self._pending = 0
        self._every = 1
        self._skipped = 0
        self._points: list[_Point] = []
        self.received_bytes = 0
        self.first_us = 0
        """From the first request to the first byte."""
        self.silence_us = 0

    def request_sent(self) -> None:
        """A request is sent now; its answer takes a round trip."""
        self._pending += 1

    def received(self, now_us: int, size: int) -> None:
        """So many bytes have arrived."""
        gap = now_us - self._last_us
        if not self.received_bytes:
            self.first_us = self._waits_us = gap
            self._pending = max(0, self._pending - 1)
        else:
            self.silence_us = max(self.silence_us, gap)
            burst = self._burst_bytes >= BURST_BYTES
            explained = self.first_us if self._pending else min(self.first_us, self._round_trip_us)
            if 2 * gap >= explained and (burst or self._pending):
                self._waits_us += min(gap, explained)
                self._pending = max(0, self._pending - 1)
                self._burst_bytes = 0
        rate = min(size * 1_000_000 // max(1, gap), FASTEST)
        self._classes[math.floor(_STEPS * math.log2(max(1, rate)))] += size
        self._last_us = now_us
        self._burst_bytes += size
        self.received_bytes += size
        self._note()

    def finish(self, now_us: int) -> None:
        """The transfer ends."""
        if self.received_bytes:
            self.silence_us = max(self.silence_us, now_us - self._last_us)

    def rate(self, now_us: int) -> int:
        """Bytes a second over the second half of the bytes received so far; 0 without any."""
        if not self.received_bytes:
            return 0
        half = self.received_bytes // 2
        from_ = _Point(0, 0, 0)
        for point in self._points:
            if point.received_bytes > half:
                break
            from_ = point
        took_us = now_us - self._begin_us - from_.at_us - (self._waits_us - from_.waits_us)
        late = self.received_bytes - from_.received_bytes
        return min(late * 1_000_000 // max(1, took_us), FASTEST)

    @property
    def pace(self) -> int:
        """Bytes a second at which the middle byte arrived; 0 without any."""
        seen = 0
        for rate in sorted(self._classes):
            seen += self._classes[rate]
            if 2 * seen >= self.received_bytes:
                return int(2 ** (rate / _STEPS))
        return 0

    @property
    def progress(self) -> tuple[Progress, ...]:
        """Bytes received over time, thinned out; the last point is exact."""
        if not self.received_bytes:
            return ()
        last = Progress(self._last_us - self._begin_us, self.received_bytes)
        points = [Progress(point.at_us, point.received_bytes) for point in self._points]
        kept = points[:-1] if points[-1:] == [last] else points
        return (*kept[: MOST_POINTS - 1], last)

    def _note(self) -> None:
        """Keep every n-th point; when there are too many, keep every second one of them."""
        self._skipped += 1
        if self._skipped < self._every:
            return
        self._skipped = 0
        self._points.append(
            _Point(self._last_us - self._begin_us, self.received_bytes, self._waits_us)
        )
        if len(self._points) >= MOST_POINTS:
            self._points = self._points[1::2]
            self._every *= 2


class _MeteredStream:
    """A Stream that measures when bytes arrive from the socket, and how long none do."""

    def __init__(
        self, network: Network, stream: Stream, limits: TransferLimits, round_trip_us: int
    ) -> None:
        self._network, self._stream, self._limits = network, stream, limits
        self.begin_us = network.clock_us()
        self.meter = GoodputMeter(self.begin_us, round_trip_us)
        self.sent_bytes = 0
        self.status: int | None = None
        self.requests = 0
        self.answer_begun = False
        """Bytes of the present answer have arrived."""

    async def send(self, payload: bytes) -> None:
        self.sent_bytes += len(payload)
        await self._stream.send(payload)

    async def receive(self, limit: int = 16384) -> bytes:
        if self._enough(self._network.clock_us()):
            raise _EnoughError
        with within(self._limits.silence):
            received = await self._stream.receive(min(limit, 16384))
        if received:
            self.meter.received(self._network.clock_us(), len(received))
            self.answer_begun = True
        return received

    def _enough(self, now_us: int) -> bool:
        limits, received_bytes = self._limits, self.meter.received_bytes
        if received_bytes < limits.wanted:
            return False
        if received_bytes >= limits.most or now_us - self.begin_us >= limits.seconds * 1e6:
            return True
        fast = min(self.meter.rate(now_us), self.meter.pace) >= limits.enough
        return fast and received_bytes >= limits.sure

    def too_little(self) -> tuple[str, ...]:
        """The evidence `short`, where nothing more comes and less has than was wanted."""
        return () if self.meter.received_bytes >= self._limits.wanted else ("short",)

    def close(self) -> None:
        self._stream.close()

    def request_sent(self) -> None:
        """A request is sent now."""
        self.meter.request_sent()
        self.answer_begun = False

    def answer_complete(self) -> None:
        """An answer is complete."""
        self.requests += 1
        self.answer_begun = False


async def transfer(
    step: StepContext,
    stream: Stream,
    client: tls.TLSClient | None,
    *,
    sni: str,
    host: str,
    path: str,
    turn: int,
    round_trip_us: int,
    limits: TransferLimits | None = None,
) -> Transfer:
    """Fetch until enough has arrived, and return the observation. The caller closes the stream.

    `sni` is the name that the handshake showed, `host` the one in the requests, `round_trip_us` how
    long the connect took. Evidence `short`: the server sent less than was wanted; `time_over`: the
    time, that of `limits`, ended while bytes were still arriving.
    """
    network, limits = step.network, limits or TransferLimits()
    metered = _MeteredStream(network, stream, limits, round_trip_us)
    channel = HTTPChannel(metered, client)
    host_value = authority(host or step.address, step.port, 80 if client is None else 443)
    failed: BaseException | None = None
    evidence: list[str] = []
    try:
        async with asyncio.timeout(limits.limit) as timer:
            if client is not None and client.alpn == "h2":
                await _fetch_h2(channel, metered, host_value, path)
            else:
                await _fetch_http1(channel, metered, host_value, path)
        evidence += metered.too_little()
    except _EnoughError:
        pass
    except (OSError, EOFError, h11.RemoteProtocolError, h2.exceptions.H2Error) as error:
        if timer.expired() and metered.meter.received_bytes:
            evidence.append("time_over")
        elif metered.requests and not metered.answer_begun and not isinstance(error, TimeoutError):
            evidence += metered.too_little()  # closed between two answers, as servers may
        else:
            failed = error
    ended = network.clock_us()
    metered.meter.finish(ended)
    return Transfer(
        **step.fields(metered.begin_us, ended - metered.begin_us),
        **failure_fields(failed),
        evidence=tuple(evidence),
        sni=sni,
        turn=turn,
        tls=client is not None,
        requests=metered.requests,
        status=metered.status,
        wanted_bytes=limits.wanted,
        sent_bytes=metered.sent_bytes,
        received_bytes=metered.meter.received_bytes,
        first_us=metered.meter.first_us,
        silence_us=metered.meter.silence_us,
        rate=metered.meter.rate(ended),
        pace=metered.meter.pace,
        progress=metered.meter.progress,
    )


async def _fetch_http1(channel: HTTPChannel, metered: _MeteredStream, host: str, path: str) -> None:
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=65536)
    for _ in range(MOST_REQUESTS):
        request = h11.Request(method="GET", target=path, headers=http1_headers(host))
        head = connection.send(request) or b""
        connection.send(h11.EndOfMessage())
        metered.request_sent()
        await channel.send(head)
        await _read_answer(connection, channel, metered)
        metered.answer_complete()
        if connection.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            return
        connection.start_next_cycle()


async def _read_answer(
    connection: h11.Connection, channel: HTTPChannel, metered: _MeteredStream
) -> None:
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
                metered.status = metered.status or response.status_code
            case h11.EndOfMessage():
                return
            case h11.NEED_DATA:
                received = await channel.receive()
                ended = not received
                connection.receive_data(received)
            case h11.ConnectionClosed() | h11.PAUSED:
                raise EOFError
            case _:  # informational answers, and data, which the metered stream counts
                pass


async def _fetch_h2(channel: HTTPChannel, metered: _MeteredStream, host: str, path: str) -> None:
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
        metered.request_sent()
        await channel.send(connection.data_to_send())
        going_away = await _read_h2(connection, channel, metered, stream)
        metered.answer_complete()
        if going_away:
            return


async def _read_h2(
    connection: h2.connection.H2Connection,
    channel: HTTPChannel,
    metered: _MeteredStream,
    stream: int,
) -> bool:
    """Read until the stream has ended; True when the server accepts no further stream."""
    complete = going_away = False
    while not complete:
        received = await channel.receive()
        if not received:
            raise EOFError
        for event in connection.receive_data(received):
            if getattr(event, "stream_id", stream) != stream:
                continue  # pushed: not an answer
            match event:
                case h2.events.ResponseReceived():
                    word = dict(event.headers or ()).get(b":status", b"")
                    metered.status = metered.status or (
                        int(word) if _STATUS.fullmatch(word) else None
                    )
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
            await channel.send(waiting)
    return going_away
