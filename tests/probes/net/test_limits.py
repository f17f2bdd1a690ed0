"""A limit ends its body in time, and does to a task what asyncio's own does."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import weakref

import pytest

from probes.net import limits
from probes.net.limits import within


async def test_a_body_in_time_goes_through():
    with within(5):
        await asyncio.sleep(0)
    with pytest.raises(ValueError, match="mine"), within(5):
        raise ValueError("mine")


async def test_a_body_is_ended_in_time_and_says_so():
    begun = time.monotonic()
    with pytest.raises(TimeoutError), within(0.05):
        await asyncio.sleep(9)
    assert 0.05 <= time.monotonic() - begun < 9
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0.01)  # nothing is left that ends this


async def test_each_of_many_ends_when_its_own_time_is_over():
    """Some end by themselves before, in any order; the others at their own time."""
    rng = random.Random(5)
    late: list[float] = []

    async def one(begins: float, takes: float) -> bool:
        await asyncio.sleep(begins)
        begun = time.monotonic()
        try:
            with within(0.2):
                await asyncio.sleep(takes)
        except TimeoutError:
            late.append(time.monotonic() - begun - 0.2)
            return False
        return True

    plans = [(rng.random() / 2, rng.choice((0.0, 0.05, 9.0))) for _ in range(200)]
    done = await asyncio.gather(*(one(*plan) for plan in plans))
    assert done == [takes < 1 for _, takes in plans]
    assert min(late) >= -0.001
    assert max(late) < 8


async def test_the_inner_limit_ends_first_and_the_outer_goes_on():
    with within(5):
        with pytest.raises(TimeoutError), within(0.02):
            await asyncio.sleep(9)
        await asyncio.sleep(0.01)
    with pytest.raises(TimeoutError), within(0.02), within(5):
        await asyncio.sleep(9)


async def test_who_cancels_the_task_meanwhile_has_precedence():
    async def body() -> None:
        with within(0.02):
            try:
                await asyncio.sleep(9)
            finally:
                task.cancel()

    task = asyncio.create_task(body())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancellation_before_the_time_is_no_timeout():
    async def body() -> None:
        with within(5):
            await asyncio.sleep(9)

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_arrives_in_the_pass_in_which_the_time_ends_is_in_time():
    """As after a pause of the whole machine: the event loop finds both at once, arrivals first."""
    loop = asyncio.get_running_loop()
    arrival: asyncio.Future[str] = loop.create_future()

    async def body() -> str:
        with within(60):
            return await arrival

    task = asyncio.create_task(body())
    await asyncio.sleep(0)
    (queue,) = limits._queues[loop].values()
    arrival.set_result("here")
    queue._limits[-1].expire()
    assert await task == "here"


async def test_limits_that_are_over_are_forgotten():
    for _ in range(100):
        with within(30):
            await asyncio.sleep(0)
    (queue,) = limits._queues[asyncio.get_running_loop()].values()
    assert len(queue._limits) == 1


async def test_no_time_at_all_ends_at_the_next_wait():
    with pytest.raises(TimeoutError), within(0):
        await asyncio.sleep(9)


def test_two_loops_in_turns_have_their_own_limits():
    async def late() -> bool:
        try:
            with within(0.05):
                await asyncio.sleep(9)
        except TimeoutError:
            return True
        return False

    loops = [asyncio.new_event_loop() for _ in range(2)]
    try:
        assert [loop.run_until_complete(late()) for loop in loops * 2] == [True] * 4
    finally:
        for loop in loops:
            loop.close()


def test_a_closed_loop_can_go():
    async def body() -> weakref.ref[asyncio.AbstractEventLoop]:
        with within(30):
            await asyncio.sleep(0)
        return weakref.ref(asyncio.get_running_loop())

    seen = asyncio.run(body())
    gc.collect()
    assert seen() is None


def test_outside_a_task_it_is_refused():
    async def body() -> None:
        failed: list[BaseException] = []

        def call() -> None:
            try:
                with within(1):
                    pass
            except RuntimeError as error:
                failed.append(error)

        asyncio.get_running_loop().call_soon(call)
        await asyncio.sleep(0.01)
        assert len(failed) == 1

    asyncio.run(body())
