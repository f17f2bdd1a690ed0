# SPDX-License-Identifier: Apache-2.0
"""Spool -> MQTT -> acknowledged by the collector -> forgotten.

The spool is the only record: a batch lives here until `ack/<probe>` names it, and only then
are its rows deleted; a PUBACK means nothing. Whatever goes wrong (no broker, no collector, a
full disk there) shows as a missing acknowledgement, and the batch is sent again, later and
later, with jitter, so that a thousand probes do not return at once. Measuring is unknown here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from probes.delivery.spool import Row, Spool
from probes.delivery.sqlite_file import DiskError
from probes.log import Log
from probes.runtime import mqtt
from probes.wire import codec, topics
from probes.wire.bounds import MAX_BATCH_LINES, MAX_PACKET_BYTES
from probes.wire.retest import Retest, decode_retest

ENVELOPE_BYTES = 256
"""Room for the topic and MQTT's own bytes in a packet whose size the broker limits."""
RAW_BYTES = 1 << 20
"""A batch this large before compression is closed: a slow line must get it out in time."""
LIMITS = mqtt.Limits(messages=256, packet_bytes=MAX_PACKET_BYTES)
"""Acknowledgements and retests are far shorter, and an acknowledgement that was dropped is sent
again."""
CUTS, SMALL_BYTES = 3, 16 << 10
LASTED = 30.0
ONE_AT_A_TIME = 3
"""After so many sendings without a word from the collector only one batch is sent again at a
time, each in its turn: a collector that is away for days must not cost the volunteer's traffic."""
SAY_AGAIN = 600.0
UNPLACED = ("ZZ", 0)
"""Country and network of a probe that does not know where it is: nobody asks there."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Durations of delivery, in seconds."""

    ack: float = 10.0
    """Until a batch is first sent again."""
    ack_most: float = 300.0
    linger: float = 30.0
    """How long the measurements of an open round wait for their fellows."""
    heartbeat: float = 60.0
    backoff: float = 2.0
    """Bound of the first wait before connecting again."""
    backoff_most: float = 300.0


DEFAULT_PACE = Pace()


class Sight(msgspec.Struct, kw_only=True):
    """What delivery looks like at this moment; for status and metrics."""

    transport: str = ""
    """How it is connected (`mqtts+5`); empty when it is not."""
    last_ack_ms: int = 0
    published: int = 0
    published_bytes: int = 0
    resent: int = 0


class _Batch(msgspec.Struct, kw_only=True):
    rows: tuple[int, ...]
    payload: bytes
    due: float = 0.0
    """Loop time at which it is sent (again)."""
    tries: int = 0
    cuts: int = 0
    """How often the connection died before the broker had confirmed it."""


class Publisher:
    """Sends what the spool holds, over one connection at a time."""

    def __init__(
        self,
        spool: Spool,
        probe: str,
        brokers: Sequence[mqtt.Broker],
        *,
        user: str,
        secret: str,
        boot: str,
        status: Callable[[str], codec.Status],
        log: Log,
        now_ms: Callable[[], int],
        rng: random.Random,
        pace: Pace = DEFAULT_PACE,
        window: int = 4,
        place: Callable[[], tuple[str, int]] = lambda: UNPLACED,
        on_retest: Callable[[Retest], None] = lambda _: None,
        anew: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """`place` gives the country and network whose retests are listened for; `on_retest`
        gets what was asked there; `anew` is awaited with each new connection, and says whether
        what waits in the spool was changed."""
        self.sight = Sight()
        self._spool, self._probe, self._brokers = spool, probe, tuple(brokers)
        self._user, self._secret, self._boot = user, secret, boot
        self._status, self._log, self._now_ms, self._rng = status, log, now_ms, rng
        self._pace, self._window = pace, window
        self._place, self._on_retest, self._anew = place, on_retest, anew
        self._versions: dict[str, str] = {}
        self._batches: dict[int, _Batch] = {}
        self._sequence = 0
        self._through = 0
        """Highest row that is in a batch."""
        self._open_round: int | None = None
        self._open_until = 0.0
        self._wake = asyncio.Event()
        self._finish_by: float | None = None
        self._limit = MAX_PACKET_BYTES

    def round_opened(self, round_ms: int) -> None:
        """Measurements of this round wait for their fellows (at most `pace.linger`)."""
        self._open_round = round_ms
        self._open_until = asyncio.get_running_loop().time() + self._pace.linger
        self._wake.set()

    def round_closed(self) -> None:
        """Everything that was taken may go."""
        self._open_round = None
        self._wake.set()

    def finish(self, seconds: float) -> None:
        """Send what is left, wait for the acknowledgements for so long, say goodbye; `run`
        then returns."""
        self._open_round = None
        self._finish_by = asyncio.get_running_loop().time() + seconds
        self._wake.set()

    async def run(self) -> None:
        """Deliver until `finish`. Never raises for a reason in the world."""
        for broker in self._brokers:
            if broker.exposed:
                self._log("not encrypted, others can read the secret", broker=broker.name)
        wait = self._pace.backoff
        while not self._finishing():
            for broker in self._brokers:
                if await self._over(broker):
                    # It was of use: begin with short waits again.
                    wait = self._pace.backoff
                if self._finishing():
                    return
            await self._pause(self._rng.uniform(0.05, 1.0) * wait)
            wait = min(wait * 2, self._pace.backoff_most)

    def _finishing(self) -> bool:
        return self._finish_by is not None

    async def _pause(self, seconds: float) -> None:
        """Sleep, but not past `finish`."""
        try:
            async with asyncio.timeout(seconds):
                while not self._finishing():
                    self._wake.clear()
                    await self._wake.wait()
        except TimeoutError:
            pass

    async def _over(self, broker: mqtt.Broker) -> bool:
        """One connection to one broker, until it dies. Whether it was of use: something was
        acknowledged, or it lasted."""
        begun, last_ack = asyncio.get_running_loop().time(), self.sight.last_ack_ms
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
            self._log("broker unreachable", every=SAY_AGAIN, broker=broker.name, reason=str(error))
            return False
        finally:
            self.sight.transport = ""
        lasted = asyncio.get_running_loop().time() - begun
        return lasted >= LASTED or self.sight.last_ack_ms != last_ack

    async def _session(self, connection: mqtt.Connection) -> None:
        self._log("connected", transport=connection.transport)
        self.sight.transport = connection.transport
        try:
            async with asyncio.TaskGroup() as group:
                await connection.subscribe(topics.ack(self._probe))
                asked = await self._listen(connection, "")
                await self._say(connection, "hello")
                if self._anew is not None and await self._anew():
                    self._begin_again()
                # What was on its way when the last connection died goes first, in order.
                self._dissolve()
                for batch in self._batches.values():
                    batch.due = 0.0
                reader = group.create_task(self._read(connection))
                pulse = group.create_task(self._pulse(connection, asked))
                await self._send(connection)
                reader.cancel()
                pulse.cancel()
        except* mqtt.BrokerError as group_error:
            self._log("connection lost", every=SAY_AGAIN, reason=str(group_error.exceptions[0]))

    def _dissolve(self) -> None:
        """A batch over which the connection died again and again may be larger than a broker
        takes that names no limit (MQTT 3.1.1): make smaller ones of everything."""
        suspects = [b for b in self._batches.values() if b.cuts >= CUTS and len(b.rows) > 1]
        if not suspects or self._limit <= SMALL_BYTES:
            return
        self._limit = max(SMALL_BYTES, min(len(batch.payload) for batch in suspects) // 2)
        self._log("smaller batches", bytes=self._limit)
        self._begin_again()

    def _begin_again(self) -> None:
        """Make the batches under way anew, of what is in the spool now."""
        rows = [row for batch in self._batches.values() for row in batch.rows]
        self._through = min(rows, default=self._through + 1) - 1
        self._batches.clear()

    async def _say(self, connection: mqtt.Connection, state: str) -> None:
        status = codec.encode_message(self._status(state))
        await connection.publish(topics.status(self._probe), status)

    async def _listen(self, connection: mqtt.Connection, before: str) -> str:
        """Listen for what is asked where this probe is now; gives the topic."""
        place = self._place()
        topic = "" if place == UNPLACED else topics.retest(*place)
        if topic and topic != before:
            await connection.subscribe(topic)
        return topic or before

    async def _pulse(self, connection: mqtt.Connection, asked: str) -> None:
        while True:
            await asyncio.sleep(self._pace.heartbeat)
            await self._say(connection, "heartbeat")
            asked = await self._listen(connection, asked)

    async def _read(self, connection: mqtt.Connection) -> None:
        async for message in connection.messages():
            try:
                if message.topic == topics.ack(self._probe):
                    ack = codec.decode_ack(message.payload)
                    if ack.boot == self._boot:
                        await self._acknowledged(ack.sequences)
                elif message.topic == topics.retest(*self._place()):
                    self._on_retest(decode_retest(message.payload))
            except codec.WireError as error:
                self._log("bad message", every=SAY_AGAIN, topic=message.topic, reason=str(error))

    async def _acknowledged(self, sequences: Sequence[int]) -> None:
        # A batch that was sent twice may be named twice in one message.
        known = [number for number in dict.fromkeys(sequences) if number in self._batches]
        if not known:
            return
        try:
            await self._spool.forget(row for number in known for row in self._batches[number].rows)
        except DiskError as error:
            # The rows stay; the batch is sent again and acknowledged again.
            self._log("spool trouble", every=SAY_AGAIN, reason=str(error))
            return
        for number in known:
            del self._batches[number]
        self.sight.last_ack_ms = self._now_ms()
        # The collector lives: do not wait out the long delays of the time when it did not.
        now = asyncio.get_running_loop().time()
        for batch in self._batches.values():
            if batch.tries >= ONE_AT_A_TIME:
                batch.due, batch.tries = now, 1
            batch.due = min(batch.due, now + self._pace.ack)
        self._wake.set()

    async def _send(self, connection: mqtt.Connection) -> None:
        """Returns when finished; BrokerError when the connection dies."""
        loop = asyncio.get_running_loop()
        while True:
            self._wake.clear()
            await self._send_due(connection)
            while len(self._batches) < self._window:
                fresh = await self._next_batch(connection.packet_limit)
                if fresh is None:
                    break
                await self._publish(connection, fresh)
            deadline = min((batch.due for batch in self._batches.values()), default=None)
            if self._finish_by is not None:
                if not self._batches or loop.time() >= self._finish_by:
                    break
                deadline = min(self._finish_by, deadline or self._finish_by)
            elif self._open_round is not None:
                if loop.time() >= self._open_until:
                    self._open_until = loop.time() + self._pace.linger
                deadline = min(self._open_until, deadline or self._open_until)
            try:
                async with asyncio.timeout_at(deadline):
                    await self._wake.wait()
            except TimeoutError:
                pass
        try:
            async with asyncio.timeout(1.0):
                await self._say(connection, "goodbye")
        except TimeoutError:
            pass

    async def _send_due(self, connection: mqtt.Connection) -> None:
        now = asyncio.get_running_loop().time()
        unanswered = [b for b in self._batches.values() if b.tries >= ONE_AT_A_TIME]
        turn = min(unanswered, key=lambda batch: batch.tries, default=None)
        for number, batch in list(self._batches.items()):
            mine = batch.tries < ONE_AT_A_TIME or batch is turn
            if batch.due <= now and mine and number in self._batches:
                await self._publish(connection, batch)
        for batch in unanswered:
            if turn is not None and batch.tries >= ONE_AT_A_TIME:  # no word came meanwhile
                batch.due = turn.due

    async def _publish(self, connection: mqtt.Connection, batch: _Batch) -> None:
        delay = min(self._pace.ack * 1.6**batch.tries, self._pace.ack_most)
        batch.due = asyncio.get_running_loop().time() + delay * self._rng.uniform(1.0, 1.3)
        self.sight.resent += batch.tries > 0
        if batch.tries >= 3:
            self._log("no acknowledgement from the collector", every=SAY_AGAIN, tries=batch.tries)
        self.sight.published += 1
        self.sight.published_bytes += len(batch.payload)
        batch.tries += 1
        batch.cuts += 1  # Unless it comes to be confirmed; whoever dies first, this is counted.
        refusal = await connection.publish(topics.measurements(self._probe), batch.payload)
        batch.cuts -= 1
        if refusal:
            self._log("broker refused a batch", every=SAY_AGAIN, reason=refusal)

    async def _next_batch(self, packet_limit: int) -> _Batch | None:
        """Rows of one round that are in no batch yet, as many as a packet takes."""
        try:
            rows = await self._spool.pending(self._through, MAX_BATCH_LINES)
        except DiskError as error:
            self._log("spool trouble", every=SAY_AGAIN, reason=str(error))
            return None
        if not rows:
            return None
        now = asyncio.get_running_loop().time()
        if rows[0].round == self._open_round and now < self._open_until:
            return None
        chosen = _one_round(rows)
        limit = self._limit
        if packet_limit:
            limit = min(limit, packet_limit - ENVELOPE_BYTES)
        while True:
            header = codec.BatchHeader(boot=self._boot, sequence=self._sequence)
            payload = codec.encode_batch(header, [row.line for row in chosen])
            if len(payload) <= limit:
                break
            if len(chosen) == 1:
                if len(payload) <= MAX_PACKET_BYTES and not packet_limit:
                    break  # Only suspected to be too large.
                return await self._set_apart(chosen[0], len(payload), limit, packet_limit)
            chosen = chosen[: len(chosen) // 2]
        batch = _Batch(rows=tuple(row.sequence for row in chosen), payload=payload)
        self._batches[self._sequence] = batch
        self._sequence += 1
        self._through = chosen[-1].sequence
        return batch

    async def _set_apart(self, row: Row, size: int, limit: int, packet_limit: int) -> _Batch | None:
        """A broker cuts the connection over a larger packet, for ever: it must never be sent."""
        self._log("measurement too large to send", sequence=row.sequence, bytes=size, limit=limit)
        try:
            await self._spool.quarantine([row.sequence])
        except DiskError as error:
            self._log("spool trouble", every=SAY_AGAIN, reason=str(error))
        self._through = row.sequence
        return await self._next_batch(packet_limit)


def _one_round(rows: Sequence[Row]) -> list[Row]:
    """The first rows that belong to one round and stay under RAW_BYTES, at least one."""
    chosen, size = [rows[0]], len(rows[0].line)
    for row in rows[1:]:
        size += len(row.line)
        if row.round != rows[0].round or size > RAW_BYTES:
            break
        chosen.append(row)
    return chosen
