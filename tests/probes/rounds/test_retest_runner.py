"""Requests to one probe in time: in its turn, not too late, never beside a round of its own."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from probes.log import Log
from probes.rounds.retest_runner import Obeying
from probes.rounds.retests import Order, Retests
from probes.wire.retest import Retest
from tests.probes.rounds.test_retests import MINUTE, NOW, TARGETS


class Probe:
    """Its clock is set by hand; what it measures is written down."""

    def __init__(self) -> None:
        self.now, self.done, self.turn = NOW, list[Order](), asyncio.Lock()
        self.again = Obeying(
            Retests(TARGETS),
            self._measure,
            turn=self.turn,
            now_ms=lambda: self.now,
            rng=random.Random(1),
            log=Log(sys.stderr),
        )
        self.again.between = (NOW - 2 * MINUTE, NOW + 3 * MINUTE)

    async def _measure(self, order: Order) -> None:
        assert self.turn.locked()
        self.done.append(order)

    def ask(self, *names: str, length: int = 1000, room: float = 100.0) -> None:
        round = self.now - self.now % length
        self.again.ask(Retest(targets=names, round=round, interval_ms=length), room)


@asynccontextmanager
async def running() -> AsyncIterator[Probe]:
    probe = Probe()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(probe.again.run())
        yield probe
        task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_measured_in_its_turn() -> None:
    async with running() as probe:
        async with probe.turn:
            probe.ask("s1/web", "s2/web")
            await asyncio.sleep(0.4)
            assert probe.done == []
        await until(lambda: probe.again.measured == 2)
        assert [target.id for target in probe.done[0].targets] == ["s1/web", "s2/web"]


async def test_what_many_services_ask_for_one_round_is_measured_in_one_go() -> None:
    async with running() as probe:
        async with probe.turn:
            for n in range(5):
                probe.ask(f"s{n}/web")
            probe.ask("s9/web", length=2000)
            await asyncio.sleep(0.6)
        await until(lambda: probe.again.measured == 6)
    assert [len(order.targets) for order in probe.done] == [5, 1]


async def test_too_late_or_overtaken_by_a_round_of_its_own_is_dropped() -> None:
    async with running() as probe:
        async with probe.turn:
            probe.ask("s1/web")
            await asyncio.sleep(0.4)
            probe.now += 1000
        async with probe.turn:
            probe.ask("s2/web")
            await asyncio.sleep(0.4)
            probe.again.between = (NOW + 60_000, NOW + 360_000)
        await asyncio.sleep(0.05)
        probe.again.between = (NOW - 2 * MINUTE, NOW + 3 * MINUTE)
        probe.ask("s3/web")
        await until(lambda: bool(probe.done))
        assert [[target.id for target in order.targets] for order in probe.done] == [["s3/web"]]


async def test_refused_with_a_reason_and_what_is_under_way_is_left_out() -> None:
    async with running() as probe:
        probe.again.busy = {"s1/web"}
        probe.ask("s1/web", "x/y")
        probe.ask("s2/web", room=0.0)
        probe.ask("s1/web", "s3/web")
        await until(lambda: bool(probe.done))
        assert [target.id for target in probe.done[0].targets] == ["s3/web"]
        assert probe.again.measured == 1


async def test_a_clock_that_goes_back_does_not_make_it_wait_for_hours() -> None:
    async with running() as probe:
        probe.ask("s1/web")
        probe.now -= 5 * MINUTE
        await until(lambda: bool(probe.done))
