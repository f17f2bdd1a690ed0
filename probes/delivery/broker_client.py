# SPDX-License-Identifier: Apache-2.0
"""The probe's way to the monitor: brokers are tried in order, again and again, with growing waits.

What is sent over a connection is `probes.delivery.outbox`'s; what happens while it lasts,
`probes.delivery.broker_session`'s.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import msgspec

from probes.delivery.batcher import REPEAT_LOG_SECONDS
from probes.delivery.broker_session import BrokerSession, DaemonSide, Finish
from probes.delivery.outbox import Outbox
from probes.delivery.received_quota import ReceivedQuota
from probes.log import Log
from probes.runtime import mqtt
from probes.runtime.broker_url import Broker
from probes.wire import codec, topics
from probes.wire.bounds import MAX_PACKET_BYTES

WAITING_MESSAGES = 256
"""Further ones are dropped: an acknowledgement is sent again."""
STABLE_SECONDS = 30.0


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """Who this probe is, and where it may deliver."""

    probe: str
    brokers: tuple[Broker, ...]
    user: str = ""
    secret: str = ""


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
        self._now_ms, self._rng, self._log = now_ms, rng, log
        self._versions: dict[str, str] = {}
        """The version of MQTT that worked, by the broker's name."""
        self._quotas = {broker.name: ReceivedQuota() for broker in access.brokers}
        self._finish = Finish()

    def finish(self, seconds: float) -> None:
        """Send what is left, wait this long for acknowledgements, and publish `goodbye`; then `run`
        returns."""
        self._finish.by = asyncio.get_running_loop().time() + seconds
        self._outbox.round_closed()

    async def run(self) -> None:
        """Deliver until `finish`. Raises nothing because of the network, the broker or the disk."""
        for broker in self._access.brokers:
            if broker.exposed:
                self._log(
                    "connection not encrypted: others on the network can read the secret",
                    broker=broker.name,
                )
        times, stats = self._outbox.times, self._outbox.stats
        wait = times.backoff
        stats.away_ms = self._now_ms()
        while not self._finish.wanted():
            refused = stats.refused
            for broker in self._access.brokers:
                if self._quotas[broker.name].exceeded():
                    continue
                if await self._use(broker):
                    # It was useful: begin with short waits again.
                    wait = times.backoff
                if self._finish.wanted():
                    return
            if stats.refused == refused:
                stats.refused = 0  # no broker could be asked
            await self._sleep(self._rng.uniform(0.05, 1.0) * wait)
            wait = min(wait * 2, times.backoff_most)

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not past `finish`."""
        try:
            async with asyncio.timeout(seconds):
                while not self._finish.wanted():
                    self._outbox.changed.clear()
                    await self._outbox.changed.wait()
        except TimeoutError:
            pass

    async def _use(self, broker: Broker) -> bool:
        """Use one connection to one broker until it is lost. Return whether it was useful:
        something was acknowledged, or it lasted."""
        stats, access, quota = self._outbox.stats, self._access, self._quotas[broker.name]
        begun, last_ack = asyncio.get_running_loop().time(), stats.last_ack_ms
        worked = self._versions.get(broker.name)
        try:
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
                meter=stats.traffic,
            ) as connection:
                self._versions[broker.name] = connection.version
                self._log("connected", transport=connection.transport)
                stats.transport = connection.transport
                stats.away_ms = stats.refused = 0
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
        except mqtt.BrokerError as error:
            self._note_failure(broker, error)
            return False
        finally:
            if quota.exceeded():
                stats.flooded_ms = self._now_ms()
                self._log("broker sent too much: it is left alone for a while", broker=broker.name)
            if stats.transport:
                stats.transport, stats.away_ms = "", self._now_ms()
        lasted = asyncio.get_running_loop().time() - begun
        return lasted >= STABLE_SECONDS or stats.last_ack_ms != last_ack

    def _note_failure(self, broker: Broker, error: mqtt.BrokerError) -> None:
        refused = isinstance(error, mqtt.BrokerRefusedError)
        self._outbox.stats.refused += refused
        self._log(
            "broker refuses this probe: if this lasts, it was revoked; ask your operator"
            if refused
            else "broker unreachable: measurements wait on disk",
            every=REPEAT_LOG_SECONDS,
            broker=broker.name,
            reason=str(error),
        )
