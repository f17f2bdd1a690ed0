# SPDX-License-Identifier: Apache-2.0
"""The collector's connection to the broker: subscribe, read, reconnect.

    broker -> intake (queue, decode, admit, commit, acknowledge) -> broker

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

from monitor.broker.client import connected
from monitor.collector.intake import Intake
from monitor.metrics.counters import Counters
from probes.runtime.broker_url import parse_broker
from probes.runtime.cancellation import raise_if_cancelled
from probes.runtime.mqtt import BrokerConnection, BrokerError
from probes.wire import topics

LOG = logging.getLogger("reachwatch.collector")
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
_STATUS = topics.ALL_STATUS.removesuffix("+")


async def run_collector(
    url: str,
    user: str,
    secret: str,
    intake: Intake,
    *,
    shared: bool,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Collect until the intake is to stop; then let it store and acknowledge what has arrived, and
    return.

    Waits for an unavailable broker; the intake's `counters.unready` gives the reason. `shared`
    splits the load with other collectors where the broker speaks MQTT 5. Raises ValueError for a
    bad URL.
    """
    broker = parse_broker(url)
    counters, stop, acknowledger = intake.counters, intake.stop, intake.acknowledger
    async with asyncio.TaskGroup() as group:
        storing = group.create_task(intake.run())
        wait = FIRST_WAIT
        while not stop.is_set():
            try:
                async with connected(url, user, secret, purpose="collector", tls=tls) as connection:
                    await _subscribe(connection, shared)
                    LOG.info("collecting from %s", broker.name)
                    counters.broker, wait = "", FIRST_WAIT
                    acknowledger.connection = connection
                    await _read_until_stopped(connection, intake)
                    await asyncio.wait([storing])
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


async def _subscribe(connection: BrokerConnection, shared: bool) -> None:
    batches = topics.ALL_MEASUREMENTS
    if shared and connection.version == "5":
        batches = f"{topics.COLLECTORS_SHARE}{batches}"
    for wanted in (batches, topics.ALL_STATUS):
        if not await connection.subscribe(wanted):
            raise BrokerError(f"the broker refused the subscription {wanted}")


async def _read_until_stopped(connection: BrokerConnection, intake: Intake) -> None:
    """Read until the intake is to stop. Raises BrokerError when the connection dies."""
    died: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(_read(connection, intake))
            await intake.stop.wait()
            reader.cancel()
    except* BrokerError as errors:
        raise_if_cancelled()
        died = errors.exceptions[0]
    if died is not None:  # raised within `except*`, Python may wrap it in a group
        raise died from None


async def _read(connection: BrokerConnection, intake: Intake) -> None:
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
        intake.put(probe, message.payload, status=status)
