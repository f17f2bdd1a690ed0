"""The one path into the store: what is put into it is stored, and who waits is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from monitor.collector.intake import Intake
from monitor.collector.message_queue import PROBE_MESSAGES
from monitor.metrics.counters import Counters
from tests.monitor.collector.bench import Memory, P, batch
from tests.world.waiting import HANG_SECONDS, eventually


@asynccontextmanager
async def intake(memory: Memory) -> AsyncIterator[Intake]:
    made = Intake(memory, Counters(), asyncio.Event())
    async with asyncio.TaskGroup() as group:
        group.create_task(made.run())
        yield made
        made.stop.set()


async def test_who_delivers_gets_the_acknowledgement_once_it_is_stored() -> None:
    memory, payload = Memory(P), batch(sequences=(0, 1), number=7)
    async with intake(memory) as made, asyncio.timeout(HANG_SECONDS):
        ack = await made.deliver(P, payload)
        assert ack is not None
        assert (ack.boot, ack.sequences) == ("b", (7,))
        assert len(memory.rows) == 2
        again = await made.deliver(P, payload)
        assert again is not None
        assert again.sequences == (7,)
    assert (made.counters.ingested, made.counters.duplicate) == (2, 2)
    assert made.counters.acknowledged == 2


async def test_nothing_is_acknowledged_while_the_store_is_away() -> None:
    memory = Memory(P)
    memory.away = "gone"
    async with intake(memory) as made:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await made.deliver(P, batch())
        memory.away = ""
        await eventually(lambda: made.counters.ingested == 1)


async def test_two_that_deliver_the_same_batch_are_both_answered() -> None:
    async with intake(Memory(P)) as made, asyncio.timeout(HANG_SECONDS):
        payload = batch()
        async with asyncio.TaskGroup() as group:
            both = [group.create_task(made.deliver(P, payload)) for _ in range(2)]
        acks = [task.result() for task in both]
        assert [ack.sequences for ack in acks if ack is not None] == [(0, 0), (0, 0)]


async def test_what_no_acknowledgement_could_name_is_quarantined_and_said() -> None:
    memory = Memory(P)
    async with intake(memory) as made, asyncio.timeout(HANG_SECONDS):
        assert await made.deliver(P, b"no batch") is None
        await eventually(lambda: [one.reason for one in memory.quarantine] == ["malformed_batch"])


async def test_no_room_is_said_at_once() -> None:
    made = Intake(Memory(P), Counters(), asyncio.Event())
    for number in range(PROBE_MESSAGES):
        assert made.put(P, batch(number=number))
    async with asyncio.timeout(HANG_SECONDS):
        assert await made.deliver(P, batch(number=99)) is None
    assert made.counters.dropped == 1
