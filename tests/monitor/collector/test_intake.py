from __future__ import annotations

import asyncio

from monitor.collector.intake import Intake, Received


def message(size: int) -> Received:
    return Received(probe="p", payload=b"x" * size, received=0)


async def test_in_order_then_closed() -> None:
    intake = Intake()
    assert intake.put(message(1))
    assert intake.put(message(2))
    intake.close()
    assert not intake.put(message(3))
    first, second = await intake.get(), await intake.get()
    assert first is not None
    assert second is not None
    assert [len(first.payload), len(second.payload)] == [1, 2]
    assert await intake.get() is None
    assert await intake.get() is None


async def test_bounded_by_bytes_and_by_number() -> None:
    intake = Intake(max_bytes=10, max_messages=3)
    assert intake.put(message(6))
    assert not intake.put(message(5))
    assert intake.put(message(4))
    await intake.get()
    assert intake.put(message(5))
    assert intake.put(message(0))
    assert not intake.put(message(0))


async def test_get_waits_and_a_cancelled_get_loses_nothing() -> None:
    intake = Intake()
    try:
        async with asyncio.timeout(0.01):
            await intake.get()
    except TimeoutError:
        pass
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(intake.get())
        await asyncio.sleep(0)
        intake.put(message(7))
    got = waiting.result()
    assert got is not None
    assert len(got.payload) == 7
