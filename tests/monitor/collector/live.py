"""A collector at work on a real broker, and a probe that speaks the wire to it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import aiomqtt

from monitor.collector.batch_writer import CollectorStore
from monitor.collector.intake import Intake
from monitor.collector.subscriber import run_collector
from monitor.enrolment import Enrolled
from monitor.metrics.counters import Counters
from probes.runtime.clock import wall_clock
from probes.wire import topics
from probes.wire.codec import (
    Ack,
    decode_ack,
)
from tests.monitor.store.arrivals import arrivals
from tests.world.brokers import MONITOR_SECRET, House
from tests.world.waiting import HANG_SECONDS, eventually


@contextlib.asynccontextmanager
async def collecting(
    made: House,
    *,
    store: CollectorStore | None = None,
    url: str = "",
    clock: Callable[[], int] = wall_clock,
) -> AsyncIterator[Counters]:
    """A collector at work, ended politely."""
    counters, stop = Counters(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            run_collector(
                url or made.monitor_url,
                "monitor",
                MONITOR_SECRET,
                Intake(store or made.database, counters, stop, clock=clock),
                shared=True,
            )
        )
        try:
            await eventually(lambda: not counters.unready)
            yield counters
        finally:
            stop.set()
            async with asyncio.timeout(HANG_SECONDS):
                await asyncio.wait([task])


class Voice:
    """A probe that speaks the wire: sends payloads and reads acknowledgements."""

    def __init__(self, client: aiomqtt.Client, who: Enrolled) -> None:
        self.client, self.id = client, who.probe
        self._messages = aiter(client.messages)

    async def send(self, payload: bytes) -> None:
        await self.client.publish(topics.measurements(self.id), payload, qos=1)

    async def acked(self, count: int = 1, seconds: float = HANG_SECONDS) -> list[int]:
        got: list[int] = []
        async with asyncio.timeout(seconds):
            while len(got) < count:
                message = await anext(self._messages)
                ack: Ack = decode_ack(bytes(message.payload))
                got += ack.sequences
        return sorted(got)


@contextlib.asynccontextmanager
async def voice(made: House, who: Enrolled) -> AsyncIterator[Voice]:
    async with made.client(who) as client:
        await client.subscribe(topics.ack(who.probe), qos=1)
        yield Voice(client, who)


async def stored(made: House) -> int:
    return len(await arrivals(made.database))
