"""One detector leads; others stand by, and take over when it stops or falls silent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from monitor.commands.replay import fold_store, lines
from monitor.detector import leadership
from monitor.detector.leadership import LEASE_SECONDS
from monitor.store.database import open_database
from monitor.store.records import StoreUnavailableError
from tests.monitor.detector.live import (
    BLOCK,
    END,
    POLICY,
    World,
    kinds,
    world,
)
from tests.monitor.fleet import (
    INTERVAL,
    events_bytes,
    rounds,
)
from tests.world.waiting import eventually

__all__ = ["world"]


async def test_one_leads_and_a_standby_takes_over_when_it_falls_silent(world: World) -> None:
    await world.arrive(rounds(range(7), BLOCK))
    await world.settle()
    standby = world.another("second")
    await world.arrive(rounds(range(7, 20), BLOCK))
    assert not await standby.run_once()
    world.now = world.newest + INTERVAL + 30_000
    assert world.now - world.newest > LEASE_SECONDS * 1000
    assert await standby.run_once()
    assert not await world.detector.run_once()
    assert kinds(world.told) == ["likely", "confirmed"]
    assert await events_bytes(world.database) == lines(
        (await fold_store(world.database, END, POLICY)).events
    )


async def test_one_that_is_stopped_lets_the_lease_go(world: World) -> None:
    await world.arrive(rounds(range(10), BLOCK))
    await world.settle()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(world.detector.run(stop))
        await asyncio.sleep(0.05)
        stop.set()
    await world.arrive(rounds(range(10, 20), BLOCK))
    assert await world.another("second").run_once()


async def test_a_long_fold_does_not_cost_the_lease(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is renewed while the loop is busy, and a store that does not answer is asked again."""
    monkeypatch.setattr(leadership, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(leadership, "RETRY_SECONDS", 0.01)
    leader, lead, failures = world.detector.leadership, world.database.lease.lead, 3

    async def fails_at_first(*given: Any) -> bool:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise StoreUnavailableError("database is locked")
        return await lead(*given)

    assert await leader.claim()
    world.now += LEASE_SECONDS * 1000 - 1
    monkeypatch.setattr(world.database.lease, "lead", fails_at_first)
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(leader.keep())
        await eventually(lambda: failures < 0, "it is renewed")
        await eventually(lambda: leader._renewed == world.now, "it is renewed")
        keeping.cancel()
    assert (leader.held, leader.term) == (True, 1)
    world.now += LEASE_SECONDS * 1000 - 1
    async with await open_database(world.database.engines.place) as other:
        assert not await other.lease.lead("other", LEASE_SECONDS, world.now)
        world.now += 1
        assert await other.lease.lead("other", LEASE_SECONDS, world.now)


async def test_who_was_suspended_goes_on_from_what_its_successor_saved(world: World) -> None:
    """Even when the successor has ended meanwhile and the lease is free again."""
    await world.arrive(rounds(range(7), BLOCK))
    await world.settle()
    suspended = world.detector
    async with await open_database(world.database.engines.place) as other:
        world.now += LEASE_SECONDS * 1000
        successor = world.another("successor", database=other)
        await world.arrive(rounds(range(7, 20), BLOCK))
        world.now = world.newest + INTERVAL + 30_000
        assert await successor.run_once()
        saved = await other.conclusions.load("wechat")
        with pytest.raises(StoreUnavailableError, match="successor is active"):
            await world.database.conclusions.save((), 0)
        await successor.leadership.release()
    await suspended.leadership._renew()
    assert not suspended.leads
    assert not await suspended.run_once()
    assert (suspended.leads, suspended.leadership.term) == (True, 2)
    assert await world.database.conclusions.load("wechat") == saved
