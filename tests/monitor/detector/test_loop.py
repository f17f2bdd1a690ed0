"""The detector's loop over a real store: what waits for what, and when it stops."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from monitor.detection.model import Event, EventState, Tier
from monitor.detector.loop import Detector
from monitor.detector.past_rounds import PastRounds
from monitor.detector.rest import FACTOR, QUIET_MS
from monitor.store.records import StoreUnavailableError
from tests.monitor.detector.live import (
    BLOCK,
    POLICY,
    World,
    arrived,
    folded,
    kinds,
    shown,
    world,
)
from tests.monitor.fleet import (
    INTERVAL,
    PEOPLE,
    START,
    from_round,
    rounds,
)
from tests.world.waiting import HANG_SECONDS

__all__ = ["world"]


async def test_a_block_is_found_told_and_closed_as_its_rounds_arrive(world: World) -> None:
    for number in range(27):
        await world.arrive(rounds([number], from_round(4, 12)))
        await world.settle(START + number * INTERVAL + INTERVAL)
    (event,) = await world.events()
    assert (event.state, event.tier) == (EventState.CLOSED, Tier.CONFIRMED)
    assert (event.country, event.asns, event.technique) == ("RU", (64501,), "tls.reset.sni")
    assert kinds(world.told) == ["likely", "confirmed", "clearing", "closed"]
    assert await world.journal() == ["closed", "confirmed", "likely", "opened"]
    assert len(world.lags) == 27
    assert max(world.lags[1:]) == 0
    assert await world.database.conclusions.cursor() == 27 * len(PEOPLE) * 2


async def test_a_round_waits_for_who_is_due_and_not_for_ever(world: World) -> None:
    await world.arrive(rounds([0]))
    await world.settle(START + INTERVAL + 100_000)
    missing = rounds([1], people=PEOPLE[:-1])
    await world.arrive(missing)
    await world.settle(START + 2 * INTERVAL)
    assert await folded(world) == START
    await world.arrive(rounds([1], people=PEOPLE[-1:]))
    await world.settle(START + INTERVAL + 1000)
    assert await folded(world) == START + INTERVAL
    await world.arrive(rounds([2], people=PEOPLE[1:]))
    await world.settle(START + 3 * INTERVAL + 29_999)
    assert await folded(world) == START + INTERVAL
    await world.settle(START + 3 * INTERVAL + 30_000)
    assert await folded(world) == START + 2 * INTERVAL


async def test_vantages_that_fall_silent_do_not_take_back_what_was_told(world: World) -> None:
    await world.arrive(rounds(range(20), BLOCK))
    await world.settle()
    await world.arrive(rounds(range(20, 200), people=[who for who in PEOPLE if who.asn != 64501]))
    await world.settle()
    assert len(await shown(world)) == 1


@pytest.mark.parametrize("used", [1, 0])
async def test_a_service_rests_after_work_but_not_for_being_kept_from_the_processor(
    world: World, monkeypatch: pytest.MonkeyPatch, used: int
) -> None:
    await world.arrive(rounds(range(5)))
    await world.settle()
    clock = itertools.count(step=used)
    monkeypatch.setattr("monitor.detector.rest.time.process_time", lambda: next(clock))
    world.detector.rest_factor = 10**9
    last = START + 5 * INTERVAL
    await world.arrive(rounds([5], people=PEOPLE[:1]))
    await world.settle(last)
    await world.arrive(rounds([5], people=PEOPLE[1:]))
    await world.settle(last + INTERVAL)
    assert await folded(world) == (last - INTERVAL if used else last)
    await world.settle(last + INTERVAL + 30_000)
    assert await folded(world) == last


@pytest.fixture
def costly(world: World, monkeypatch: pytest.MonkeyPatch) -> Costly:
    """Folds that take a second of the processor each, with the rests of a real detector."""
    costs = Costly(world)
    monkeypatch.setattr("monitor.detector.rest.time.process_time", lambda: costs.used)
    for name in ("fold", "fold_again"):
        monkeypatch.setattr(PastRounds, name, costs.counted(name, getattr(PastRounds, name)))
    world.detector.rest_factor = FACTOR
    return costs


class Costly:
    """How often rounds were folded, and what that took."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.used = 0.0
        self.times = Counter[str]()

    def counted(self, name: str, fold: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
        async def counted(past: PastRounds, *rest: Any) -> Any:
            self.times[name] += 1
            self.used += 1.0
            self._world.now += 1000
            return await fold(past, *rest)

        return counted


async def test_a_backlog_that_somebody_fills_is_folded_as_it_comes(
    world: World, costly: Costly
) -> None:
    world.now = START + 100 * INTERVAL
    for number in range(4):
        await world.arrive(rounds([number]))
        await world.settle(world.now)
        assert await folded(world) == START + number * INTERVAL


async def test_late_rounds_wait_for_more_of_them_and_not_when_nothing_arrives(
    world: World, costly: Costly
) -> None:
    await world.arrive(rounds(range(126), people=PEOPLE[:1]))
    await world.settle()
    now = START + 130 * INTERVAL
    for number in range(10):  # for 25 seconds
        await world.arrive(rounds([number % 5], people=[PEOPLE[1 + number // 5]]))
        await world.settle(max(world.now, now + 2500 * number))
    assert 2 <= costly.times["fold_again"] <= 4
    before = costly.times["fold_again"]
    await world.arrive(rounds([5], people=PEOPLE[1:2]))
    await world.settle(world.now)
    assert costly.times["fold_again"] == before
    await world.settle(world.now + QUIET_MS)
    assert costly.times["fold_again"] == before + 1
    assert await world.database.conclusions.cursor() == await arrived(world)


async def test_runs_until_stopped(world: World) -> None:
    stop, seen = asyncio.Event(), asyncio.Event()
    world.now = START + 10 * INTERVAL

    async def on_change(events: list[Event]) -> None:
        seen.set()

    await world.arrive(rounds(range(10), BLOCK))
    async with asyncio.TaskGroup() as group:
        group.create_task(
            Detector(world.database, POLICY, "one", lambda: world.now, on_change=on_change).run(
                stop
            )
        )
        async with asyncio.timeout(HANG_SECONDS):
            await seen.wait()
        stop.set()


async def test_waits_for_an_unavailable_store(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, turns = asyncio.Event(), 0
    real = world.detector.run_once

    async def run_once() -> bool:
        nonlocal turns
        turns += 1
        if turns < 4:
            raise StoreUnavailableError("store: database is locked")
        if turns > 4:
            stop.set()
        return await real()

    monkeypatch.setattr(world.detector, "run_once", run_once)
    with caplog.at_level(logging.INFO):
        async with asyncio.timeout(HANG_SECONDS):
            await world.detector.run(stop)
    assert caplog.text.count("database is locked") == 1
    assert "the store is available again" in caplog.text


async def test_stops_in_the_middle_of_a_long_fold(world: World) -> None:
    """Each part of a long history checks for the stop, so that SIGTERM does not wait for all."""
    await world.arrive(rounds(range(200)))
    world.now = START + 300 * INTERVAL
    stop, reads = asyncio.Event(), 0
    lines = world.database.facts.lines

    def lines_then_stop(*chosen: Any) -> Any:
        nonlocal reads
        reads += 1
        stop.set()
        return lines(*chosen)

    world.database.facts.lines = lines_then_stop  # type: ignore[method-assign]
    async with asyncio.timeout(HANG_SECONDS):
        await world.detector.run(stop)
    assert reads == 1
