from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.collector.message_queue import MessageQueue, Received


def message(size: int, probe: str = "p") -> Received:
    return Received(probe=probe, payload=b"x" * size, received=0)


async def taken(queue: MessageQueue, count: int) -> list[Received | None]:
    return [await queue.get() for _ in range(count)]


async def test_in_order_then_closed() -> None:
    queue = MessageQueue()
    assert queue.put(message(1))
    assert queue.put(message(2))
    queue.close()
    assert not queue.put(message(3))
    first, second = await queue.get(), await queue.get()
    assert first is not None
    assert second is not None
    assert [len(first.payload), len(second.payload)] == [1, 2]
    assert await queue.get() is None
    assert await queue.get() is None


async def test_bounded_by_bytes_and_by_number() -> None:
    queue = MessageQueue(max_bytes=10, max_messages=3)
    assert queue.put(message(6))
    assert not queue.put(message(5))
    assert queue.put(message(4))
    await queue.get()
    assert queue.put(message(5))
    assert queue.put(message(0))
    assert not queue.put(message(0))


async def test_get_waits_and_a_cancelled_get_loses_nothing() -> None:
    queue = MessageQueue()
    try:
        async with asyncio.timeout(0.01):
            await queue.get()
    except TimeoutError:
        pass
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(queue.get())
        await asyncio.sleep(0)
        queue.put(message(7))
    got = waiting.result()
    assert got is not None
    assert len(got.payload) == 7


async def test_probes_are_served_in_turn() -> None:
    queue = MessageQueue()
    for size in (1, 2, 3):
        queue.put(message(size, "flood"))
    queue.put(message(9, "other"))
    got = await taken(queue, 4)
    assert [each and (each.probe, len(each.payload)) for each in got] == [
        ("flood", 1),
        ("other", 9),
        ("flood", 2),
        ("flood", 3),
    ]


async def test_one_probe_has_a_limit_of_its_own() -> None:
    queue = MessageQueue(probe_bytes=10, probe_messages=3)
    assert queue.put(message(6))
    assert not queue.put(message(5))
    assert queue.put(message(4))
    assert queue.put(message(5, "other"))
    assert queue.put(message(0))
    assert not queue.put(message(0))


async def test_when_it_is_full_whoever_occupies_most_makes_room() -> None:
    queue = MessageQueue(max_bytes=10)
    assert queue.put(message(4, "flood"))
    assert queue.put(message(5, "flood"))
    assert not queue.put(message(2, "other")), "something was dropped for it"
    assert not queue.put(message(9, "flood")), "it would occupy most itself"
    got = [await queue.get() for _ in range(2)]
    assert [each and (each.probe, len(each.payload)) for each in got] == [
        ("flood", 4),
        ("other", 2),
    ]
    assert (queue.bytes, queue.messages) == (0, 0)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.booleans()), max_size=60))
async def test_its_counts_are_those_of_its_messages(steps: list[tuple[str, int, bool]]) -> None:
    queue = MessageQueue(max_bytes=20, max_messages=5, probe_bytes=15, probe_messages=4)
    for probe, size, take in steps:
        if take and queue.messages:
            await queue.get()
        else:
            queue.put(message(size, probe))
        waiting = [each for queue in queue._queues.values() for each in queue.messages]
        assert queue.messages == len(waiting) <= 5
        assert queue.bytes == sum(len(each.payload) for each in waiting) <= 20
        assert all(queue.messages for queue in queue._queues.values())
