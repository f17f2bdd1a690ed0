"""A collector in a few lines, for tests of the probe: it keeps ids in memory and acknowledges
as it is told. The real one is `monitor.collector`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiomqtt

from probes.wire import codec, topics
from tests.world.waiting import HANG_SECONDS


class FakeCollector:
    """What arrived, and how to answer.

    `acking`: whether batches are acknowledged; `delay`: seconds before it is done.
    """

    def __init__(self) -> None:
        self.acking = True
        self.delay = 0.0
        self.place: int | None = None
        self.vantages: int | None = None
        self.unaccepted: tuple[int, str] = (0, "")
        """How many measurements of a batch, and why."""
        self.ids: dict[str, int] = {}
        """Measurement id -> how often it arrived."""
        self.batches: list[codec.Batch] = []
        self.states: list[codec.Status] = []
        self.sizes: list[int] = []
        self.subscribed = asyncio.Event()
        """Set from the first subscription on: what was sent before it never arrives."""
        self._changed = asyncio.Event()

    async def serve(self, port: int) -> None:
        """Collect until cancelled, across restarts of the broker."""
        while True:
            with contextlib.suppress(aiomqtt.MqttError):
                # Not a limit of the test: what a killed broker leaves unanswered is tried again.
                async with aiomqtt.Client("127.0.0.1", port, timeout=5) as client:
                    await client.subscribe([(topics.ALL_MEASUREMENTS, 1), (topics.ALL_STATUS, 1)])
                    self.subscribed.set()
                    async for message in client.messages:
                        await self._take(client, message)
            await asyncio.sleep(0.05)

    async def _take(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        topic, payload = str(message.topic), message.payload
        assert isinstance(payload, bytes)
        probe = topics.probe_of(topic)
        assert probe is not None
        if topic == topics.status(probe):
            self.states.append(codec.decode_status(payload))
        else:
            batch = codec.decode_batch(payload)
            self.batches.append(batch)
            self.sizes.append(len(payload))
            if self.acking:
                for line in batch.lines:
                    name = codec.decode(line).id
                    self.ids[name] = self.ids.get(name, 0) + 1
                await asyncio.sleep(self.delay)
                sequences = (batch.header.sequence,)
                ack = codec.Ack(
                    boot=batch.header.boot,
                    sequences=sequences,
                    place=self.place,
                    vantages=self.vantages,
                    quarantined=self.unaccepted[0],
                    reason=self.unaccepted[1],
                )
                await client.publish(topics.ack(probe), codec.encode_message(ack), qos=1)
        self._changed.set()

    async def wait(self, condition: object, seconds: float = HANG_SECONDS) -> None:
        """Wait until `condition()` holds, looking whenever something arrives."""
        assert callable(condition)
        async with asyncio.timeout(seconds):
            while not condition():
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self._changed.wait()


@contextlib.asynccontextmanager
async def collecting(port: int) -> AsyncIterator[FakeCollector]:
    """Run a collector against the broker on this port."""
    collector = FakeCollector()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(collector.serve(port))
        try:
            yield collector
        finally:
            task.cancel()
