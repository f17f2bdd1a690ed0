from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.collector.intake import Intake, Received


def message(size: int, probe: str = "p") -> Received:
    return Received(probe=probe, payload=b"x" * size, received=0)


async def taken(intake: Intake, count: int) -> list[Received | None]:
    return [await intake.get() for _ in range(count)]


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


async def test_probes_are_served_in_turn() -> None:
    intake = Intake()
    for size in (1, 2, 3):
        intake.put(message(size, "flood"))
    intake.put(message(9, "other"))
    got = await taken(intake, 4)
    assert [each and (each.probe, len(each.payload)) for each in got] == [
        ("flood", 1),
        ("other", 9),
        ("flood", 2),
        ("flood", 3),
    ]


async def test_one_probe_has_a_limit_of_its_own() -> None:
    intake = Intake(probe_bytes=10, probe_messages=3)
    assert intake.put(message(6))
    assert not intake.put(message(5))
    assert intake.put(message(4))
    assert intake.put(message(5, "other"))
    assert intake.put(message(0))
    assert not intake.put(message(0))


async def test_when_it_is_full_whoever_occupies_most_makes_room() -> None:
    intake = Intake(max_bytes=10)
    assert intake.put(message(4, "flood"))
    assert intake.put(message(5, "flood"))
    assert not intake.put(message(2, "other")), "something was dropped for it"
    assert not intake.put(message(9, "flood")), "it would occupy most itself"
    got = [await intake.get() for _ in range(2)]
    assert [each and (each.probe, len(each.payload)) for each in got] == [
        ("flood", 4),
        ("other", 2),
    ]
    assert (intake.bytes, intake.messages) == (0, 0)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 12), st.booleans()), max_size=60))
async def test_its_counts_are_those_of_its_messages(steps: list[tuple[str, int, bool]]) -> None:
    intake = Intake(max_bytes=20, max_messages=5, probe_bytes=15, probe_messages=4)
    for probe, size, take in steps:
        if take and intake.messages:
            await intake.get()
        else:
            intake.put(message(size, probe))
        waiting = [each for queue in intake._queues.values() for each in queue.messages]
        assert intake.messages == len(waiting) <= 5
        assert intake.bytes == sum(len(each.payload) for each in waiting) <= 20
        assert all(queue.messages for queue in intake._queues.values())
