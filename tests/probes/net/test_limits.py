"""A limit ends its body in time, and does to a task what asyncio's own does."""

from __future__ import annotations

import asyncio
import gc
import random
import time
import weakref

import pytest

from probes.net import limits
from probes.net.limits import MachineLateError, within


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
    (queue,) = limits._limits[loop]._queues.values()
    arrival.set_result("here")
    queue._limits[-1].expire(loop.time(), 0.0, 0.0)
    assert await task == "here"


def stall(seconds: float) -> None:
    """Nothing of this process runs meanwhile."""
    time.sleep(seconds)


@pytest.mark.parametrize(
    ("stalls", "least"),
    [((0.3,), 0.55), ((0.2, 0.2), 0.55), ((3.0,), 3.0)],
    ids=["one", "two", "longer than the limit"],
)
async def test_what_the_machine_was_late_is_waited_for_once_more(stalls, least):
    """A stall is seen but for its part before the next look."""
    loop = asyncio.get_running_loop()
    begun = time.monotonic()
    for number, seconds in enumerate(stalls):
        loop.call_later(0.1 * number + 0.02 + sum(stalls[:number]), stall, seconds)
    with pytest.raises(TimeoutError), within(0.4):
        await asyncio.sleep(9)
    assert least <= time.monotonic() - begun < 9


@pytest.mark.parametrize(
    ("late", "due"), [(0.0, 110.0), (2.0, 112.0), (9.0, 119.0), (10.0, 120.0), (3600.0, 120.0)]
)
def test_no_limit_becomes_longer_than_twice_itself(late, due):
    """A round ends however late the machine is."""
    assert limits.Limit(100.0, 110.0, 5.0, 0.0).due(5.0 + late) == due


@pytest.mark.parametrize(
    ("now", "late", "slept", "is_late"),
    [
        (110.0, 0.0, 0.0, False),
        (112.0, 2.0, 0.0, False),
        (114.0, 4.0, 0.0, False),
        (120.0, 10.0, 0.0, True),
        (110.0, 0.0, 2.0, False),
        (110.0, 0.0, 5.0, True),
        (114.0, 4.0, 3.0, True),
        (100.02, 0.02, 0.0, False),
    ],
    ids=[
        "not",
        "a little",
        "made up for",
        "much",
        "slept a little",
        "slept",
        "both",
        "of no limit",
    ],
)
async def test_much_of_its_time_is_half(now, late, slept, is_late):
    limit = limits.Limit(100.0, 110.0, 5.0, 7.0)
    limit.expire(now, 5.0 + late, 7.0 + slept)
    assert limit.is_late == is_late


async def test_an_answer_of_two_turns_that_a_stall_delays_is_in_time():
    """As of a handshake: the first arrives while the machine stands still, the next after it."""
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()

    async def body() -> None:
        await first
        loop.call_later(0.1, second.set_result, None)
        await second

    loop.call_later(0.05, stall, 0.5)
    loop.call_later(0.2, first.set_result, None)
    with within(0.4):
        await body()


async def test_a_machine_that_slept_says_so(monkeypatch):
    """The event loop's clock stands still meanwhile."""
    asleep = iter([7.0])
    monkeypatch.setattr(limits, "_asleep_seconds", lambda: next(asleep, 12.0))
    with pytest.raises(MachineLateError), within(0.5):
        await asyncio.sleep(9)


async def test_nothing_is_looked_at_once_no_limit_is_left():
    of_loop = limits._limits.setdefault(asyncio.get_running_loop(), limits._LoopLimits())
    with within(0.15):
        await asyncio.sleep(0.01)
        assert of_loop._look_at is not None
    await asyncio.sleep(0.5)
    assert of_loop._look_at is None


async def test_limits_that_are_over_are_forgotten():
    for _ in range(100):
        with within(30):
            await asyncio.sleep(0)
    (queue,) = limits._limits[asyncio.get_running_loop()]._queues.values()
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
