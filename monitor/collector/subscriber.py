# SPDX-License-Identifier: Apache-2.0
"""The collector's connection to the broker: subscribe, read, reconnect.

    broker -> queue -> batch_writer (decode, admit, commit) -> acknowledge -> broker

Sessions are clean and nothing depends on the broker's queue, because probes keep measurements in
their spools until they are acknowledged. On MQTT 5 any number of collectors share the load
through `$share`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
from collections.abc import Callable, Container

from monitor.broker.client import connected
from monitor.collector.acknowledge import Acknowledger
from monitor.collector.batch_writer import FINISH_SECONDS, BatchWriter, CollectorStore
from monitor.collector.message_queue import MessageQueue, Received
from monitor.metrics.counters import Counters
from probes.runtime.broker_url import parse_broker
from probes.runtime.cancellation import raise_if_cancelled
from probes.runtime.clock import wall_clock
from probes.runtime.mqtt import BrokerConnection, BrokerError
from probes.wire import topics

LOG = logging.getLogger("reachwatch.collector")
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
_STATUS = topics.ALL_STATUS.removesuffix("+")


async def run_collector(
    url: str,
    user: str,
    secret: str,
    store: CollectorStore,
    counters: Counters,
    stop: asyncio.Event,
    *,
    shared: bool,
    known_targets: Container[str] | None = None,
    tls: ssl.SSLContext | None = None,
    clock: Callable[[], int] = wall_clock,
) -> None:
    """Collect until `stop`; then store and acknowledge what has arrived, as far as it takes no
    longer than FINISH_SECONDS, and return.

    Waits for an unavailable broker or store; `counters.unready` gives the reason. `shared` splits
    the load with other collectors where the broker speaks MQTT 5. Measurements of targets that are
    not in `known_targets` are quarantined; None accepts any. Raises ValueError for a bad URL.
    """
    broker = parse_broker(url)
    queue = MessageQueue()
    counters.waiting = lambda: (queue.messages, queue.bytes)
    acknowledger = Acknowledger(counters)
    writer = BatchWriter(queue, store, acknowledger, counters, stop, clock, known_targets)
    async with asyncio.TaskGroup() as group:
        storing = group.create_task(writer.run())
        acknowledging = group.create_task(acknowledger.run())
        wait = FIRST_WAIT
        while not stop.is_set():
            try:
                async with connected(url, user, secret, purpose="collector", tls=tls) as connection:
                    await _subscribe(connection, shared)
                    LOG.info("collecting from %s", broker.name)
                    counters.broker, wait = "", FIRST_WAIT
                    acknowledger.connection = connection
                    await _read_until_stopped(stop, connection, queue, counters, clock)
                    await _finish(queue, storing)
                    acknowledger.close()
                    await asyncio.wait([acknowledging], timeout=0.5)
            except BrokerError as error:
                if not counters.broker or counters.broker == Counters().broker:
                    LOG.warning("cannot use the broker: %s", error)
                counters.broker = str(error)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait * random.uniform(0.5, 1.0)):
                        await stop.wait()
                wait = min(wait * 2, LONGEST_WAIT)
            finally:
                acknowledger.connection = None
        await _finish(queue, storing)
        acknowledger.close()


async def _finish(queue: MessageQueue, storing: asyncio.Task[None]) -> None:
    """Let what has arrived be stored, within FINISH_SECONDS. A commit that takes longer is rolled
    back: a backlog is not acknowledged, and its probes send it again."""
    queue.close()
    _, late = await asyncio.wait([storing], timeout=FINISH_SECONDS)
    if late:
        LOG.warning(
            "stopped before %d messages were stored; probes send them again", queue.messages
        )
        storing.cancel()
        await asyncio.wait(late)


async def _subscribe(connection: BrokerConnection, shared: bool) -> None:
    batches = topics.ALL_MEASUREMENTS
    if shared and connection.version == "5":
        batches = f"{topics.COLLECTORS_SHARE}{batches}"
    for wanted in (batches, topics.ALL_STATUS):
        if not await connection.subscribe(wanted):
            raise BrokerError(f"the broker refused the subscription {wanted}")


async def _read_until_stopped(
    stop: asyncio.Event,
    connection: BrokerConnection,
    queue: MessageQueue,
    counters: Counters,
    clock: Callable[[], int],
) -> None:
    """Read until `stop`. Raises BrokerError when the connection dies."""
    try:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(_read(connection, queue, counters, clock))
            await stop.wait()
            reader.cancel()
    except* BrokerError as died:
        raise_if_cancelled()
        raise died.exceptions[0] from None


async def _read(
    connection: BrokerConnection, queue: MessageQueue, counters: Counters, clock: Callable[[], int]
) -> None:
    async for message in connection.messages():
        probe = topics.probe_of(message.topic)
        if probe is None:
            continue
        if message.retained:
            # We retain nothing here; some broker let somebody retain a message.
            await connection.publish(message.topic, b"", qos=0, retain=True)
            continue
        status = message.topic.startswith(_STATUS)
        if status and not message.payload:
            continue  # how a retained message is cleared
        arrived = Received(probe=probe, payload=message.payload, received=clock(), status=status)
        if not queue.put(arrived):
            counters.dropped += 1
