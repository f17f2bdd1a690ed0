# SPDX-License-Identifier: Apache-2.0
"""The probe's ways to the monitor: one connection at a time, over the best way that works.

Which way is tried when is `probes.delivery.ladder`'s; what is sent over a connection,
`probes.delivery.outbox`'s; what happens while it lasts, `broker_session`'s and `https_session`'s.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from probes.delivery.batcher import REPEAT_LOG_SECONDS
from probes.delivery.broker_session import BrokerSession, DaemonSide, Finish
from probes.delivery.connection_size import ConnectionSize
from probes.delivery.https_session import HTTPSSession, Told
from probes.delivery.outbox import Outbox
from probes.delivery.received_quota import ReceivedQuota
from probes.delivery.way_chooser import WayChooser
from probes.delivery.way_failure import FLOODED, way_failure
from probes.delivery.way_memory import WayMemory
from probes.log import Log
from probes.runtime import mqtt
from probes.runtime.broker_url import Broker, BrokerError, BrokerRefusedError
from probes.runtime.http_connection import open_http
from probes.wire import codec, topics
from probes.wire.bounds import MAX_PACKET_BYTES
from probes.wire.https_delivery import authorization

WAITING_MESSAGES = 256
"""Further ones are dropped: an acknowledgement is sent again."""


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who this probe is, and where it may deliver."""

    probe: str
    brokers: tuple[Broker, ...]
    """The ways, the best first."""
    user: str = ""
    secret: str = ""
    memory: Path | None = None
    """Directory in which it is remembered what worked."""


class BrokerClient:
    """Delivers what the outbox holds, one connection at a time."""

    def __init__(
        self,
        access: Access,
        outbox: Outbox,
        daemon: DaemonSide,
        *,
        now_ms: Callable[[], int],
        rng: random.Random,
        log: Log,
    ) -> None:
        self._access, self._outbox, self._daemon = access, outbox, daemon
        self._now_ms, self._log = now_ms, log
        self.chooser = WayChooser(
            access.brokers,
            WayMemory(access.memory, log),
            outbox,
            daemon.location,
            now_ms=now_ms,
            rng=rng,
        )
        self._versions: dict[str, str] = {}
        """The version of MQTT that worked, by the broker's name."""
        self._quotas: dict[str, ReceivedQuota] = defaultdict(ReceivedQuota)
        self._told, self._size, self._finish = Told(), ConnectionSize(), Finish()
        self._finish.leave_at = self.chooser.leave_at

    def finish(self, seconds: float) -> None:
        """Send what is left, wait this long for acknowledgements, and publish `goodbye`; then `run`
        returns."""
        self._finish.by = asyncio.get_running_loop().time() + seconds
        self._outbox.rounds_closed()

    def use(self, brokers: Sequence[Broker]) -> None:
        """Deliver over these ways from now on, the best first."""
        self.chooser.use(brokers)
        self._outbox.changed.set()  # a better one than that in use may be among them

    async def run(self) -> None:
        """Deliver until `finish`. Raises nothing because of the network, the broker or the disk."""
        for broker in self._access.brokers:
            if broker.exposed:
                self._log(
                    "connection not encrypted: others on the network can read the secret",
                    broker=broker.name,
                )
        stats, chooser = self._outbox.stats, self.chooser
        stats.away_ms = self._now_ms()
        while not self._finish.wanted():
            chosen = chooser.choose()
            if isinstance(chosen, Broker):
                await self._use(chosen)
                continue
            if not chooser.refuses():
                stats.refused = 0  # no broker could be asked
            await self._sleep(chosen)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not past `finish`."""
        try:
            async with asyncio.timeout(seconds):
                while not self._finish.wanted():
                    self._outbox.changed.clear()
                    await self._outbox.changed.wait()
        except TimeoutError:
            pass

    async def _use(self, broker: Broker) -> None:
        """Use one connection over one way until it is lost or left."""
        quota, stats = self._quotas[broker.name], self._outbox.stats
        if quota.exceeded():
            self.chooser.end(FLOODED)
            return
        try:
            error = await (self._request if broker.over_http else self._converse)(broker)
        except BrokerError as failed:
            error = failed
            self._note_failure(broker, failed)
        if quota.exceeded():
            stats.flooded_ms = self._now_ms()
            self._log("broker sent too much: it is left alone for a while", broker=broker.name)
            self.chooser.end(FLOODED)
        else:
            self.chooser.end("" if error is None else way_failure(error))
        if stats.transport:
            stats.transport, stats.away_ms = "", self._now_ms()

    async def _converse(self, broker: Broker) -> BrokerError | None:
        """Deliver by MQTT. Return why the connection was lost, None when it was left. Raises
        BrokerError when there was none."""
        access, quota = self._access, self._quotas[broker.name]
        worked = self._versions.get(broker.name)
        async with mqtt.connect(
            broker,
            versions=(worked,) if worked else mqtt.VERSIONS,
            user=access.user,
            secret=access.secret,
            client_id=access.user or broker.user or access.probe,
            will=(
                topics.status(access.probe),
                codec.encode_message(self._daemon.status("lost")),
            ),
            limits=mqtt.Limits(
                messages=WAITING_MESSAGES,
                packet_bytes=MAX_PACKET_BYTES,
                count_read=quota.count_read,
            ),
            meter=self._outbox.stats.traffic,
        ) as connection:
            self._versions[broker.name] = connection.version
            self._connected(connection.transport)
            session = BrokerSession(
                connection,
                access.probe,
                self._outbox,
                self._daemon,
                self._finish,
                quota.plenty,
                self._log,
            )
            await session.run()
        return session.lost

    async def _request(self, broker: Broker) -> BrokerError | None:
        """Deliver by HTTPS; as `_converse`."""
        access, quota, traffic = self._access, self._quotas[broker.name], self._outbox.stats.traffic
        session = HTTPSSession(
            lambda: open_http(broker, traffic, quota.count_read),
            authorization(access.user or broker.user, access.secret or broker.secret),
            self._outbox,
            self._daemon,
            self._finish,
            quota.plenty,
            self._told,
            self._size,
            self._log,
        )
        try:
            await session.open()
            self._connected(broker.kind)
            await session.run()
        finally:
            session.close()
        return session.lost

    def _connected(self, transport: str) -> None:
        stats = self._outbox.stats
        self._log("connected", transport=transport)
        stats.transport = transport
        stats.away_ms = stats.refused = 0

    def _note_failure(self, broker: Broker, error: BrokerError) -> None:
        refused = isinstance(error, BrokerRefusedError)
        self._outbox.stats.refused += refused
        self._log(
            "broker refuses this probe: if this lasts, it was revoked; ask your operator"
            if refused
            else "broker unreachable: measurements wait on disk",
            every=REPEAT_LOG_SECONDS,
            broker=broker.name,
            reason=str(error),
        )
