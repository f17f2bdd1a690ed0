# SPDX-License-Identifier: Apache-2.0
"""The probe's side of MQTT: sends what the spool holds until the collector has acknowledged it, and
receives acknowledgements, retests and the catalogue.

The spool is the only record: its rows are marked as sent only when a message on `ack/<probe>` names
their batch; a PUBACK proves nothing. Whatever goes wrong (no broker, no collector, a full disk
there) shows as a missing acknowledgement. The batch is then sent again after growing delays, with
jitter, so that a thousand probes do not all return at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from probes.delivery.spool import Spool, SpoolRow
from probes.delivery.sqlite_file import DiskError
from probes.log import Log
from probes.runtime import mqtt
from probes.runtime.broker_url import Broker
from probes.runtime.cancellation import raise_if_cancelled
from probes.wire import codec, topics
from probes.wire.bounds import MAX_BATCH_LINES, MAX_PACKET_BYTES
from probes.wire.retest import Retest, decode_retest

PACKET_OVERHEAD_BYTES = 256
"""Room for the topic and MQTT's own bytes in a packet whose size the broker limits."""
MAX_RAW_BYTES = 1 << 20
"""Most bytes of a batch before compression: a slow connection must be able to send it in time."""
WINDOW = 4
"""Batches that are sent before the first of them is acknowledged."""
LIMITS = mqtt.Limits(messages=256, packet_bytes=MAX_PACKET_BYTES)
"""Acknowledgements and retests are far shorter, and an acknowledgement that was dropped is sent
again."""
MAX_DISCONNECTS, MIN_LIMIT_BYTES = 3, 16 << 10
STABLE_SECONDS = 30.0
UNANSWERED_ATTEMPTS = 3
"""After this many attempts without an acknowledgement only one batch at a time is sent again, in
turn: a collector that is down for days must not use up the volunteer's traffic."""
REPEAT_LOG_SECONDS = 600.0
UNKNOWN_LOCATION = ("ZZ", 0)
"""Country and network of a probe whose location is unknown: it receives no retests."""


class DeliveryTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Delays of delivery, in seconds."""

    ack: float = 10.0
    """Wait for an acknowledgement before a batch is sent again for the first time."""
    ack_most: float = 300.0
    linger: float = 30.0
    """How long measurements of a round in progress wait for the rest of the round."""
    hurry: float = 2.0
    """The same once an endpoint fails that did not fail before."""
    heartbeat: float = 60.0
    backoff: float = 2.0
    """Longest first wait before connecting again."""
    backoff_most: float = 300.0


DEFAULT_TIMES = DeliveryTimes()


class DeliveryStats(msgspec.Struct, kw_only=True):
    """State and counts of delivery, for status and metrics."""

    transport: str = ""
    """How it is connected (`mqtts+5`); empty when it is not."""
    away_ms: int = 0
    """Since when no broker is connected, Unix milliseconds; 0 while one is."""
    refused: int = 0
    """How often in a row a broker refused user or secret."""
    last_ack_ms: int = 0
    unaccepted: int = 0
    """Measurements that the monitor did not accept when it last did not accept some."""
    unaccepted_ms: int = 0
    """When that was."""
    unaccepted_reason: str = ""
    published: int = 0
    published_bytes: int = 0
    resent: int = 0


class _Batch(msgspec.Struct, kw_only=True):
    rows: tuple[int, ...]
    payload: bytes
    due: float = 0.0
    """Loop time at which it is sent (again)."""
    attempts: int = 0
    disconnects: int = 0
    """How often the connection was lost before the broker had confirmed it."""


class BrokerClient:
    """Sends what the spool holds and receives what the monitor sends, one connection at a time."""

    def __init__(
        self,
        spool: Spool,
        probe: str,
        brokers: Sequence[Broker],
        *,
        user: str,
        secret: str,
        boot: str,
        status: Callable[[str], codec.Status],
        log: Log,
        now_ms: Callable[[], int],
        rng: random.Random,
        times: DeliveryTimes = DEFAULT_TIMES,
        location: Callable[[], tuple[str, int]] = lambda: UNKNOWN_LOCATION,
        on_retest: Callable[[Retest], None] = lambda _: None,
        on_catalogue: Callable[[bytes], None] | None = None,
        on_connect: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """`location` returns the country and network whose retests are subscribed to; `on_retest`
        receives them; `on_catalogue` receives the signed catalogues that the monitor publishes, if
        they are wanted; `on_connect` is awaited for each new connection and returns whether it has
        changed measurements in the spool."""
        self.stats = DeliveryStats()
        self.place: int | None = None
        """This probe's place in the interval, in thousandths, as the monitor gave it last."""
        self.vantages: int | None = None
        """How many vantages of this network take turns, as the monitor said last."""
        self._spool, self._probe, self._brokers = spool, probe, tuple(brokers)
        self._user, self._secret, self._boot = user, secret, boot
        self._status, self._log, self._now_ms, self._rng = status, log, now_ms, rng
        self._times = times
        self._location, self._on_retest, self._on_connect = location, on_retest, on_connect
        self._on_catalogue = on_catalogue
        self._versions: dict[str, str] = {}
        self._batches: dict[int, _Batch] = {}
        self._sequence = 0
        self._last_batched = 0
        """Highest sequence that is in a batch."""
        self._open_round: int | None = None
        self._open_until = 0.0
        self._changed = asyncio.Event()
        self._finish_by: float | None = None
        self._limit = MAX_PACKET_BYTES

    def round_opened(self, round_ms: int) -> None:
        """Let measurements of this round wait for the rest of it (at most `times.linger`)."""
        self._open_round = round_ms
        self._open_until = asyncio.get_running_loop().time() + self._times.linger
        self._changed.set()

    def hurry(self) -> None:
        """Send soon what is stored of the round in progress: something that worked before fails,
        and other vantages may be asked to measure it as well."""
        soon = asyncio.get_running_loop().time() + self._times.hurry
        self._open_until = min(self._open_until, soon)
        self._changed.set()

    def round_closed(self) -> None:
        """Send everything that is stored."""
        self._open_round = None
        self._changed.set()

    def finish(self, seconds: float) -> None:
        """Send what is left, wait this long for acknowledgements, and publish `goodbye`; then `run`
        returns."""
        self._open_round = None
        self._finish_by = asyncio.get_running_loop().time() + seconds
        self._changed.set()

    async def run(self) -> None:
        """Deliver until `finish`. Raises nothing because of the network, the broker or the disk."""
        for broker in self._brokers:
            if broker.exposed:
                self._log(
                    "connection not encrypted: others on the network can read the secret",
                    broker=broker.name,
                )
        wait = self._times.backoff
        self.stats.away_ms = self._now_ms()
        while not self._finishing():
            refused = self.stats.refused
            for broker in self._brokers:
                if await self._use_broker(broker):
                    # It was useful: begin with short waits again.
                    wait = self._times.backoff
                if self._finishing():
                    return
            if self.stats.refused == refused:
                self.stats.refused = 0  # no broker could be asked
            await self._sleep(self._rng.uniform(0.05, 1.0) * wait)
            wait = min(wait * 2, self._times.backoff_most)

    def _finishing(self) -> bool:
        return self._finish_by is not None

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not past `finish`."""
        try:
            async with asyncio.timeout(seconds):
                while not self._finishing():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            pass

    async def _use_broker(self, broker: Broker) -> bool:
        """Use one connection to one broker until it is lost. Return whether it was useful:
        something was acknowledged, or it lasted."""
        begun, last_ack = asyncio.get_running_loop().time(), self.stats.last_ack_ms
        worked = self._versions.get(broker.name)
        try:
            async with mqtt.connect(
                broker,
                versions=(worked,) if worked else mqtt.VERSIONS,
                user=self._user,
                secret=self._secret,
                client_id=self._user or broker.user or self._probe,
                will=(topics.status(self._probe), codec.encode_message(self._status("lost"))),
                limits=LIMITS,
            ) as connection:
                self._versions[broker.name] = connection.version
                await self._session(connection)
        except mqtt.BrokerError as error:
            refused = isinstance(error, mqtt.BrokerRefusedError)
            self.stats.refused += refused
            self._log(
                "broker refuses this probe: if this lasts, it was revoked; ask your operator"
                if refused
                else "broker unreachable: measurements wait on disk",
                every=REPEAT_LOG_SECONDS,
                broker=broker.name,
                reason=str(error),
            )
            return False
        finally:
            if self.stats.transport:
                self.stats.transport, self.stats.away_ms = "", self._now_ms()
        lasted = asyncio.get_running_loop().time() - begun
        return lasted >= STABLE_SECONDS or self.stats.last_ack_ms != last_ack

    async def _session(self, connection: mqtt.BrokerConnection) -> None:
        self._log("connected", transport=connection.transport)
        self.stats.transport = connection.transport
        self.stats.away_ms = self.stats.refused = 0
        try:
            async with asyncio.TaskGroup() as group:
                await connection.subscribe(topics.ack(self._probe))
                if self._on_catalogue is not None:
                    await connection.subscribe(topics.CATALOGUE)
                subscribed = await self._subscribe_to_retests(connection, "")
                await self._publish_status(connection, "hello")
                if self._on_connect is not None and await self._on_connect():
                    self._rebuild_batches()
                # Batches in flight when the last connection was lost go first, in order.
                self._use_smaller_batches()
                for batch in self._batches.values():
                    batch.due = 0.0
                receiver = group.create_task(self._receive(connection))
                heartbeats = group.create_task(self._send_heartbeats(connection, subscribed))
                await self._send(connection)
                receiver.cancel()
                heartbeats.cancel()
        except* mqtt.BrokerError as group_error:
            self._log(
                "connection lost", every=REPEAT_LOG_SECONDS, reason=str(group_error.exceptions[0])
            )
        raise_if_cancelled()

    def _use_smaller_batches(self) -> None:
        """If the connection was lost repeatedly over one batch, the batch may exceed a limit that
        the broker does not announce (MQTT 3.1.1): make smaller batches from now on."""
        suspects = [
            b
            for b in self._batches.values()
            if b.disconnects >= MAX_DISCONNECTS and len(b.rows) > 1
        ]
        if not suspects or self._limit <= MIN_LIMIT_BYTES:
            return
        self._limit = max(MIN_LIMIT_BYTES, min(len(batch.payload) for batch in suspects) // 2)
        self._log("batches made smaller", bytes=self._limit)
        self._rebuild_batches()

    def _rebuild_batches(self) -> None:
        """Build the batches in flight again from what is in the spool now."""
        rows = [row for batch in self._batches.values() for row in batch.rows]
        self._last_batched = min(rows, default=self._last_batched + 1) - 1
        self._batches.clear()

    async def _publish_status(self, connection: mqtt.BrokerConnection, state: str) -> None:
        status = codec.encode_message(self._status(state))
        await connection.publish(topics.status(self._probe), status)

    async def _subscribe_to_retests(self, connection: mqtt.BrokerConnection, before: str) -> str:
        """Subscribe to the retests for this probe's present location; return the topic."""
        place = self._location()
        topic = "" if place == UNKNOWN_LOCATION else topics.retest(*place)
        if topic and topic != before:
            await connection.subscribe(topic)
        return topic or before

    async def _send_heartbeats(self, connection: mqtt.BrokerConnection, subscribed: str) -> None:
        while True:
            await asyncio.sleep(self._times.heartbeat)
            await self._publish_status(connection, "heartbeat")
            subscribed = await self._subscribe_to_retests(connection, subscribed)

    async def _receive(self, connection: mqtt.BrokerConnection) -> None:
        async for message in connection.messages():
            try:
                if message.topic == topics.ack(self._probe):
                    ack = codec.decode_ack(message.payload)
                    if ack.boot == self._boot:
                        if ack.place is not None:
                            self.place, self.vantages = ack.place, ack.vantages
                        if ack.quarantined:
                            self.stats.unaccepted = ack.quarantined
                            self.stats.unaccepted_ms = self._now_ms()
                            self.stats.unaccepted_reason = ack.reason
                        await self._acknowledged(ack.sequences)
                elif message.topic == topics.CATALOGUE and self._on_catalogue is not None:
                    self._on_catalogue(message.payload)
                elif message.topic == topics.retest(*self._location()):
                    self._on_retest(decode_retest(message.payload))
            except codec.WireError as error:
                self._log(
                    "invalid message",
                    every=REPEAT_LOG_SECONDS,
                    topic=message.topic,
                    reason=str(error),
                )

    async def _acknowledged(self, sequences: Sequence[int]) -> None:
        # A batch that was sent twice may be listed twice in one message.
        known = [number for number in dict.fromkeys(sequences) if number in self._batches]
        if not known:
            return
        try:
            await self._spool.acknowledge(
                row for number in known for row in self._batches[number].rows
            )
        except DiskError as error:
            # The rows stay: the batch is sent again and acknowledged again.
            self._log("cannot use the spool", every=REPEAT_LOG_SECONDS, reason=str(error))
            return
        for number in known:
            del self._batches[number]
        self.stats.last_ack_ms = self._now_ms()
        # The collector is back: shorten the long delays from the time when it was down.
        now = asyncio.get_running_loop().time()
        for batch in self._batches.values():
            if batch.attempts >= UNANSWERED_ATTEMPTS:
                batch.due, batch.attempts = now, 1
            batch.due = min(batch.due, now + self._times.ack)
        self._changed.set()

    async def _send(self, connection: mqtt.BrokerConnection) -> None:
        """Return when finished. Raises BrokerError when the connection is lost."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            await self._send_due(connection)
            while len(self._batches) < WINDOW:
                batch = await self._next_batch(connection.packet_limit)
                if batch is None:
                    break
                await self._publish(connection, batch)
            deadline = min((batch.due for batch in self._batches.values()), default=None)
            if self._finish_by is not None:
                if not self._batches or loop.time() >= self._finish_by:
                    break
                deadline = min(self._finish_by, deadline or self._finish_by)
            elif self._open_round is not None:
                if loop.time() >= self._open_until:
                    self._open_until = loop.time() + self._times.linger
                deadline = min(self._open_until, deadline or self._open_until)
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                pass
        try:
            async with asyncio.timeout(1.0):
                await self._publish_status(connection, "goodbye")
        except TimeoutError:
            pass

    async def _send_due(self, connection: mqtt.BrokerConnection) -> None:
        now = asyncio.get_running_loop().time()
        unanswered = [b for b in self._batches.values() if b.attempts >= UNANSWERED_ATTEMPTS]
        next_unanswered = min(unanswered, key=lambda batch: batch.attempts, default=None)
        for number, batch in list(self._batches.items()):
            may_send = batch.attempts < UNANSWERED_ATTEMPTS or batch is next_unanswered
            if batch.due <= now and may_send and number in self._batches:
                await self._publish(connection, batch)
        for batch in unanswered:
            if next_unanswered is not None and batch.attempts >= UNANSWERED_ATTEMPTS:
                batch.due = next_unanswered.due

    async def _publish(self, connection: mqtt.BrokerConnection, batch: _Batch) -> None:
        delay = min(self._times.ack * 1.6**batch.attempts, self._times.ack_most)
        batch.due = asyncio.get_running_loop().time() + delay * self._rng.uniform(1.0, 1.3)
        self.stats.resent += batch.attempts > 0
        if batch.attempts >= 3:
            self._log(
                "no acknowledgement from the collector",
                every=REPEAT_LOG_SECONDS,
                attempts=batch.attempts,
            )
        self.stats.published += 1
        self.stats.published_bytes += len(batch.payload)
        batch.attempts += 1
        batch.disconnects += 1  # taken back when the broker confirms it
        refusal = await connection.publish(topics.measurements(self._probe), batch.payload)
        batch.disconnects -= 1
        if refusal:
            self._log("broker refused a batch", every=REPEAT_LOG_SECONDS, reason=refusal)

    async def _next_batch(self, packet_limit: int) -> _Batch | None:
        """A batch of rows of one round that are in no batch yet, as many as fit into a packet."""
        try:
            rows = await self._spool.pending(self._last_batched, MAX_BATCH_LINES)
        except DiskError as error:
            self._log("cannot use the spool", every=REPEAT_LOG_SECONDS, reason=str(error))
            return None
        if not rows:
            return None
        now = asyncio.get_running_loop().time()
        if rows[0].round == self._open_round and now < self._open_until:
            return None
        chosen = _rows_of_one_round(rows)
        limit = self._limit
        if packet_limit:
            limit = min(limit, packet_limit - PACKET_OVERHEAD_BYTES)
        while True:
            header = codec.BatchHeader(boot=self._boot, sequence=self._sequence)
            payload = codec.encode_batch(header, [row.line for row in chosen])
            if len(payload) <= limit:
                break
            if len(chosen) == 1:
                if len(payload) <= MAX_PACKET_BYTES and not packet_limit:
                    break  # it may still be accepted
                return await self._quarantine_too_large(
                    chosen[0], len(payload), limit, packet_limit
                )
            chosen = chosen[: len(chosen) // 2]
        batch = _Batch(rows=tuple(row.sequence for row in chosen), payload=payload)
        self._batches[self._sequence] = batch
        self._sequence += 1
        self._last_batched = chosen[-1].sequence
        return batch

    async def _quarantine_too_large(
        self, row: SpoolRow, size: int, limit: int, packet_limit: int
    ) -> _Batch | None:
        """Keep a measurement that fits into no packet: a broker would close the connection."""
        self._log("measurement too large to send", sequence=row.sequence, bytes=size, limit=limit)
        try:
            await self._spool.quarantine([row.sequence])
        except DiskError as error:
            self._log("cannot use the spool", every=REPEAT_LOG_SECONDS, reason=str(error))
        self._last_batched = row.sequence
        return await self._next_batch(packet_limit)


def _rows_of_one_round(rows: Sequence[SpoolRow]) -> list[SpoolRow]:
    """The first rows that belong to one round and stay under MAX_RAW_BYTES, at least one."""
    chosen, size = [rows[0]], len(rows[0].line)
    for row in rows[1:]:
        size += len(row.line)
        if row.round != rows[0].round or size > MAX_RAW_BYTES:
            break
        chosen.append(row)
    return chosen
