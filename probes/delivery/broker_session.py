# SPDX-License-Identifier: Apache-2.0
"""One connection to a broker: what is subscribed to, sent and received while it lasts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from enum import Enum, auto

import msgspec

from probes.delivery.batcher import REPEAT_LOG_SECONDS, OutgoingBatch
from probes.delivery.outbox import Outbox
from probes.log import Log
from probes.runtime import mqtt
from probes.runtime.cancellation import raise_if_cancelled
from probes.wire import codec, topics
from probes.wire.retest import Retest, decode_retest

UNKNOWN_LOCATION = ("ZZ", 0)
"""Country and network of a probe whose location is unknown: it receives no retests."""


class DaemonSide(msgspec.Struct, frozen=True, kw_only=True):
    """What delivery asks of the daemon, and tells it."""

    status: Callable[[str], codec.Status]
    """The status message for `hello`, `heartbeat`, `goodbye` or `lost`."""
    location: Callable[[], tuple[str, int]] = lambda: UNKNOWN_LOCATION
    """Country and network whose retests are subscribed to."""
    on_retest: Callable[[Retest], None] = lambda _: None
    on_catalogue: Callable[[bytes], None] | None = None
    """Receives the signed catalogues that the monitor publishes, if they are wanted."""
    on_event: Callable[[bytes], None] = lambda _: None
    """Receives the events of this probe's country."""
    wants_events: Callable[[], bool] = lambda: False
    """Whether they are wanted again; asked where the broker may send what can wait."""
    on_connect: Callable[[], Awaitable[bool]] | None = None
    """Awaited for each new connection. Returns whether it has changed measurements in the spool."""


class SessionEnd(Enum):
    """Whether a connection is used further."""

    NOT_YET = auto()
    LEAVE = auto()
    """It is left for another way to the monitor."""
    FINISH = auto()
    """Delivery ends."""


class Finish:
    """Whether, and by when, delivery is to end, or the connection in use."""

    def __init__(self) -> None:
        self.by: float | None = None
        """Loop time by which everything must have ended; None before it is to end."""
        self.leave_at: Callable[[], float | None] = lambda: None
        """Tells the loop time at which the connection in use is left for another way."""

    def wanted(self) -> bool:
        """Whether delivery is to end."""
        return self.by is not None

    def ending(self, *, is_empty: bool) -> SessionEnd:
        """Whether the connection is used further, if no batch waits any more or some do."""
        at = self.next_end()
        if self.by is not None and is_empty:
            return SessionEnd.FINISH
        if at is None or asyncio.get_running_loop().time() < at:
            return SessionEnd.NOT_YET
        return SessionEnd.LEAVE if self.by is None else SessionEnd.FINISH

    def next_end(self) -> float | None:
        """Loop time at which that may change."""
        return self.leave_at() if self.by is None else self.by


class BrokerSession:
    """Delivers over one connection until it is lost, or until delivery is to end."""

    def __init__(
        self,
        connection: mqtt.BrokerConnection,
        probe: str,
        outbox: Outbox,
        daemon: DaemonSide,
        finish: Finish,
        plenty: Callable[[], bool],
        log: Log,
    ) -> None:
        """`plenty`: whether the broker may send what is large and can wait."""
        self._connection, self._probe, self._outbox = connection, probe, outbox
        self._daemon, self._finish, self._plenty, self._log = daemon, finish, plenty, log
        self._takes_catalogue = False
        self._events = ""
        """The topic of events that is subscribed to."""
        self.lost: mqtt.BrokerError | None = None
        """Why the connection ended, if it was not left."""
        self._retests = ""
        """The topic of retests that is subscribed to."""

    async def run(self) -> None:
        """Raises nothing because of the network or the broker."""
        daemon, connection = self._daemon, self._connection
        try:
            async with asyncio.TaskGroup() as group:
                await connection.subscribe(topics.ack(self._probe))
                await self._subscribe_to_catalogue()
                await self._subscribe_to_retests()
                await self._publish_status("hello")
                moved = daemon.on_connect is not None and await daemon.on_connect()
                self._outbox.reconnected(spool_changed=moved)
                receiver = group.create_task(self._receive())
                heartbeats = group.create_task(self._send_heartbeats())
                await self._send()
                receiver.cancel()
                heartbeats.cancel()
        except* mqtt.BrokerError as group_error:
            error = group_error.exceptions[0]
            self.lost = error if isinstance(error, mqtt.BrokerError) else None
            self._log("connection lost", every=REPEAT_LOG_SECONDS, reason=str(error))
        raise_if_cancelled()

    async def _publish_status(self, state: str) -> None:
        status = codec.encode_message(self._daemon.status(state))
        await self._connection.publish(topics.status(self._probe), status)

    async def _subscribe_to_catalogue(self) -> None:
        """Subscribe to catalogues, if they are wanted: the broker sends the newest at once, after
        each new connection on a line that fails often."""
        wanted = self._daemon.on_catalogue is not None and not self._takes_catalogue
        if wanted and self._plenty():
            await self._connection.subscribe(topics.CATALOGUE)
            self._takes_catalogue = True

    async def _subscribe_to_retests(self) -> None:
        """Subscribe to the retests for this probe's present location."""
        place = self._daemon.location()
        topic = "" if place == UNKNOWN_LOCATION else topics.retest(*place)
        if topic and topic != self._retests:
            await self._connection.subscribe(topic)
            self._retests = topic

    async def _subscribe_to_events(self) -> None:
        """Subscribe to the events of this probe's country, which the broker then sends at once:
        not after each new connection on a line that fails often."""
        country = self._daemon.location()[0]
        known = country != UNKNOWN_LOCATION[0] and not self._events
        if known and self._plenty() and self._daemon.wants_events():
            self._events = topics.events_in(country)
            await self._connection.subscribe(self._events)

    async def _send_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self._outbox.times.heartbeat)
            await self._publish_status("heartbeat")
            self._outbox.changed.set()  # the connection has lasted: that may be a reason to stay
            await self._subscribe_to_catalogue()
            await self._subscribe_to_retests()
            await self._subscribe_to_events()

    async def _receive(self) -> None:
        daemon = self._daemon
        async for message in self._connection.messages():
            try:
                if message.topic == topics.ack(self._probe):
                    await self._outbox.acknowledge(codec.decode_ack(message.payload))
                elif message.topic == topics.CATALOGUE and daemon.on_catalogue is not None:
                    daemon.on_catalogue(message.payload)
                elif message.topic == topics.retest(*daemon.location()):
                    daemon.on_retest(decode_retest(message.payload))
                elif topics.is_event(message.topic):
                    daemon.on_event(message.payload)
            except codec.WireError as error:
                self._log(
                    "invalid message",
                    every=REPEAT_LOG_SECONDS,
                    topic=message.topic,
                    reason=str(error),
                )

    async def _send(self) -> None:
        """Return when finished. Raises BrokerError when the connection is lost."""
        outbox, finish = self._outbox, self._finish
        while (ending := finish.ending(is_empty=outbox.is_empty)) is SessionEnd.NOT_YET:
            outbox.changed.clear()
            for batch in outbox.due():
                await self._publish(batch)
            while (fresh := await outbox.next_batch(self._connection.packet_limit)) is not None:
                await self._publish(fresh)
            if finish.ending(is_empty=outbox.is_empty) is SessionEnd.NOT_YET:
                open_round = None if finish.wanted() else outbox.next_end()
                await outbox.wait(open_round, finish.next_end())
        if ending is SessionEnd.FINISH:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._publish_status("goodbye")

    async def _publish(self, batch: OutgoingBatch) -> None:
        payload = self._outbox.attempt(batch)
        batch.disconnects += 1  # taken back when the broker confirms it
        refusal = await self._connection.publish(topics.measurements(self._probe), payload)
        batch.disconnects -= 1
        if refusal:
            self._log("broker refused a batch", every=REPEAT_LOG_SECONDS, reason=refusal)
