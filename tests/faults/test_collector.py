"""A collector that is stopped in a backlog: it ends soon, and acknowledges nothing that it did not
store.
"""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import aiomqtt
import pytest

from monitor.store.database import open_database
from probes.wire import topics
from probes.wire.codec import Ack, decode_ack
from tests.faults.test_detector import (
    REACHWATCH,
    busy,
    ended,
    processor_seconds,
    running,
)
from tests.monitor.collector.bench import batch
from tests.monitor.store.arrivals import arrivals
from tests.world.brokers import enrolled_probe
from tests.world.mosquitto import running_mosquitto
from tests.world.waiting import eventually

PROBES, BATCHES, LINES = 60, 20, 200
USED_SECONDS = 3.0
"""Of processor time: messages are stored for two seconds, then the process ends. To store all of
the backlog takes more than five."""


@pytest.mark.needs("mosquitto")
@pytest.mark.slow
@pytest.mark.parametrize("loops", [0, pytest.param(2, marks=pytest.mark.rest)])
async def test_a_collector_ends_in_the_middle_of_a_backlog(tmp_path: Path, loops: int) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"
    acked: set[tuple[str, int]] = set()
    with busy(loops), running_mosquitto(tmp_path / "broker", "max_queued_messages 0") as broker:
        async with (
            await open_database(url) as database,
            aiomqtt.Client("127.0.0.1", broker.port) as client,
        ):
            probes = [(await enrolled_probe(database)).probe for _ in range(PROBES)]
            await client.subscribe(topics.ack("+"), qos=1)

            async def note_acknowledgements() -> None:
                async for message in client.messages:
                    ack: Ack = decode_ack(bytes(message.payload))
                    probe = str(message.topic).rpartition("/")[2]
                    acked.update((probe, sequence) for sequence in ack.sequences)

            options = ("--database", url, "--broker", broker.url)
            with running(*REACHWATCH, "collect", *options) as process:
                await broker.wait_logged("Sending SUBACK")
                await broker.wait_logged("$share/")
                async with asyncio.TaskGroup() as group:
                    listening = group.create_task(note_acknowledgements())
                    for number in range(BATCHES):
                        sequences = range(number * LINES, (number + 1) * LINES)
                        for probe in probes:
                            payload = batch(probe, sequences, number=number)
                            await client.publish(topics.measurements(probe), payload, qos=0)
                    await eventually(lambda: acked, "some of the backlog is stored")
                    used, asked = processor_seconds(process.pid), time.monotonic()
                    process.send_signal(signal.SIGTERM)
                    await eventually(lambda: ended(process.pid), "it ends")
                    took = time.monotonic() - asked
                    used = processor_seconds(process.pid) - used
                    print(f"\nended {took:.1f} s later, {used:.1f} s of processor time")
                    listening.cancel()
            stored = len(await arrivals(database))
    assert process.returncode == 0
    assert used < USED_SECONDS
    assert len(acked) * LINES <= stored < PROBES * BATCHES * LINES, "too small a backlog to tell"
