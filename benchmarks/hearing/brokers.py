# SPDX-License-Identifier: Apache-2.0
"""Who is behind the probe's broker: a collector that asks for retests, or a broker that wants to
spend the volunteer's traffic."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt

from benchmarks.hearing.scenarios import BrokerKind
from probes.rounds.last_failures import failed_endpoints
from probes.wire import codec, topics
from probes.wire.measurement import LIVENESS_TARGETS, Measurement
from probes.wire.retest import MOST_INTERVAL_MS, Retest, encode_retest

TIMES, PAUSE_MS = 2, 210_000
"""How often a target is to be measured again from the moment it begins to fail, and how far apart
(`RetestsPolicy.retest_pause_seconds`): twice outlasts the four minutes for which a quorum must
hold."""
MOST_TARGETS = 1
"""Of one service: what confirms an event. The probe itself measures at most sixty an hour."""
ANSWERED_MS = 300_000
"""A measurement that begins so soon after it was asked for is an answer."""
ROUND_MS = 60_000
"""Length of a retest's round (`RetestsPolicy.retest_round_seconds`)."""


@dataclass
class Collector:
    """Acknowledges everything, and asks for retests of what begins to fail.

    The probe's time jumps, so that its own messages are the clock: it says its time with each
    heartbeat.
    """

    asked: int = 0
    """Targets, each as often as it was asked for."""
    answered: int = 0
    """Of them those that were measured at once, be it in a round."""
    rounds: set[int] = field(default_factory=set)
    failing: Counter[int] = field(default_factory=Counter)
    """By round: targets that failed."""
    ids: Counter[str] = field(default_factory=Counter)
    """How often each measurement arrived."""
    _due: dict[str, list[int]] = field(default_factory=dict)
    """When a target is to be asked for again."""
    _open: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """When a target was asked for and has not been measured since."""
    _services: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Targets of each service that are asked for."""

    async def serve(self, port: int) -> None:
        """Collect until cancelled."""
        async with aiomqtt.Client(
            "127.0.0.1", port, timeout=60, max_queued_outgoing_messages=0
        ) as client:
            await client.subscribe([(topics.ALL_MEASUREMENTS, 1), (topics.ALL_STATUS, 1)])
            async for message in client.messages:
                await self._take(client, str(message.topic), bytes(message.payload or b""))  # type: ignore[arg-type]

    async def _take(self, client: aiomqtt.Client, topic: str, payload: bytes) -> None:
        probe = topics.probe_of(topic) or ""
        if topic == topics.status(probe):
            status = codec.decode_status(payload)
            if status.state == "heartbeat":
                await self._ask(client, status.clock_ms)
            return
        batch = codec.decode_batch(payload)
        for line in batch.lines:
            self._note(codec.decode(line))
        ack = codec.Ack(boot=batch.header.boot, sequences=(batch.header.sequence,))
        await client.publish(topics.ack(probe), codec.encode_message(ack), qos=1)

    def _note(self, measurement: Measurement) -> None:
        self.ids[measurement.id] += 1
        asked = self._open.pop(measurement.target, [])
        self.answered += sum(measurement.started - at < ANSWERED_MS for at in asked)
        if measurement.retest:
            return
        if measurement.target in LIVENESS_TARGETS:
            return
        self.rounds.add(measurement.round)
        if not any(failed_endpoints(measurement).values()):
            self._due.pop(measurement.target, None)
            return
        self.failing[measurement.round] += 1
        service = self._services[measurement.target.partition("/")[0]]
        if measurement.target not in service and len(service) < MOST_TARGETS:
            service.add(measurement.target)
            ended = measurement.started + measurement.took_us // 1000
            self._due[measurement.target] = [ended + n * PAUSE_MS for n in range(1, TIMES + 1)]

    async def _ask(self, client: aiomqtt.Client, now: int) -> None:
        """Ask for what is due, as the detector does: a request for each service."""
        due: dict[str, list[str]] = defaultdict(list)
        for target, times in self._due.items():
            if times and times[0] <= now:
                due[target.partition("/")[0]].append(target)
                del times[0]
        for targets in due.values():
            self.asked += len(targets)
            for target in targets:
                self._open[target].append(now)
            request = Retest(
                targets=tuple(targets), round=now // ROUND_MS * ROUND_MS, interval_ms=ROUND_MS
            )
            assert request.interval_ms <= MOST_INTERVAL_MS
            await client.publish(topics.retest("FR", 64501), encode_retest(request), qos=0)


@contextlib.asynccontextmanager
async def hostile(kind: BrokerKind, pair: Path) -> AsyncIterator[None]:
    """A broker that accepts everybody and sends without end, or as much as passes unnoticed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError):
            await _Hostile(kind, reader, writer).serve()
        writer.transport.abort()

    server = await asyncio.start_server(serve, None, 8883, ssl=context)
    # asyncio complains where TLS is aborted by both sides at the same time.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    try:
        yield
    finally:
        server.close()


_CONNECT, _PUBLISH, _SUBSCRIBE, _PING = 1, 3, 8, 12
_CHAT_BYTES = 1500


class _Hostile:
    """One connection, as much of MQTT 5 as a probe needs to stay."""

    def __init__(
        self, kind: BrokerKind, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._kind, self._reader, self._writer = kind, reader, writer

    async def serve(self) -> None:
        """Answer until the probe has had enough."""
        while True:
            kind, packet = await self._packet()
            match kind:
                case 1:
                    self._writer.write(b"\x20\x03\x00\x00\x00")
                case 3:
                    length = int.from_bytes(packet[:2], "big")
                    self._writer.write(b"\x40\x02" + packet[2 + length : 4 + length])
                case 8:
                    self._writer.write(b"\x90\x04" + packet[:2] + b"\x00\x01")
                case 12:
                    self._writer.write(b"\xd0\x00")
            if kind in (_PUBLISH, _PING):
                await self._spend()

    async def _spend(self) -> None:
        if self._kind is BrokerKind.CHATTING:
            self._writer.write(_publish(_CHAT_BYTES))
            return
        while True:
            self._writer.write(_publish(60_000))
            await self._writer.drain()

    async def _packet(self) -> tuple[int, bytes]:
        (first,) = await self._reader.readexactly(1)
        length = shift = 0
        while True:
            (part,) = await self._reader.readexactly(1)
            length |= (part & 127) << shift
            shift += 7
            if part < 128:
                return first >> 4, await self._reader.readexactly(length)


def _publish(size: int) -> bytes:
    topic = b"reachwatch/v1/nothing"
    body = len(topic).to_bytes(2, "big") + topic + b"\x00" + bytes(size)
    head, left = bytearray((0x30,)), len(body)
    while True:
        left, part = left >> 7, left & 127
        head.append(part | (128 if left else 0))
        if not left:
            return bytes(head) + body
