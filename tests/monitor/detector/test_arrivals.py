"""A detector goes on where the states were saved, with what arrived since."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.commands.replay import fold_store, lines
from monitor.detector import round_reader
from monitor.store.records import Conclusions, StoreUnavailableError
from monitor.store.shard import Shard
from monitor.store.tables import state_part
from probes.wire.measurement import Role, service_of
from tests.monitor.detector.live import (
    BLOCK,
    END,
    POLICY,
    World,
    arrived,
    folded,
    kinds,
    world,
)
from tests.monitor.fleet import (
    INTERVAL,
    START,
    events_bytes,
    rounds,
)

__all__ = ["world"]


async def test_a_restart_goes_on_without_a_second_alarm(world: World) -> None:
    for number in range(20):
        await world.arrive(rounds([number], BLOCK))
        world.detector = world.another("first")
        await world.settle(START + number * INTERVAL + INTERVAL + 30_000)
    assert kinds(world.told) == ["likely", "confirmed"]
    assert await world.journal() == ["confirmed", "likely", "opened"]


async def test_state_of_another_version_is_drawn_anew(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.arrive(rounds(range(7), BLOCK))
    await world.settle()
    before = await events_bytes(world.database)
    async with world.database.engines.write.begin() as connection:
        await connection.execute(sa.update(state_part).values(body=b'{"service":"wechat"'))
    world.detector = world.another("first")
    with caplog.at_level(logging.WARNING):
        await world.settle()
    assert "all measurements are processed again from the start" in caplog.text
    assert await events_bytes(world.database) == before
    assert kinds(world.told) == ["likely"]


async def test_a_backlog_is_visible_and_a_restart_goes_on_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_reader, "MAX_ROUNDS", 8)
    await world.arrive(rounds(range(40), BLOCK))
    await world.arrive(rounds(range(40), BLOCK, target="signal/chat"))
    world.now = START + 41 * INTERVAL + 30_000
    save, saves = world.database.conclusions.save, 0

    async def dies(
        conclusions: Sequence[Conclusions], cursor: int, *late: Mapping[str, int]
    ) -> None:
        nonlocal saves
        saves += 1
        if saves == 4:
            raise StoreUnavailableError("the plug")
        await save(conclusions, cursor, *late)

    monkeypatch.setattr(world.database.conclusions, "save", dies)
    with pytest.raises(StoreUnavailableError, match="plug"):
        await world.detector.run_once()
    before = await folded(world)
    assert START < before < world.newest
    assert await world.database.conclusions.cursor() == 0
    left = 2 * sum(one.measurements for one in await world.database.facts.rounds(before, "wechat"))
    behind = world.detector.backlog
    assert (behind.measurements, behind.damaged_batches) == (left, 0)
    assert behind.seconds == (world.now - before - 2 * INTERVAL) / 1000
    # Another process goes on there, and folds nothing again.
    monkeypatch.setattr(world.database.conclusions, "save", save)
    read: list[int] = []
    real = world.database.facts.lines

    def lines_from(
        first: int, last: int, services: Collection[str], role: Role, after: int = 0
    ) -> Any:
        if role is Role.VANTAGE:
            read.append(first)
        return real(first, last, services, role, after)

    monkeypatch.setattr(world.database.facts, "lines", lines_from)
    await world.detector.leadership.release()
    world.detector = world.another("second")
    await world.settle(world.now)
    assert min(read) == before + INTERVAL
    assert world.detector.backlog == (0, 0.0, 0)
    assert await world.database.conclusions.cursor() == await arrived(world)
    live = await events_bytes(world.database)
    assert live == lines((await fold_store(world.database, END, POLICY)).events) != b""


async def test_parts_of_the_services_conclude_what_one_detector_concludes(world: World) -> None:
    names = [f"s{n}/chat" for n in range(6)]
    for name in names:
        await world.arrive(rounds(range(12), BLOCK, target=name))
    parts = [replace(world.another(f"part {n}"), shard=Shard(n, 2)) for n in (1, 2)]
    world.now = world.newest + INTERVAL + 30_000
    for part in parts:
        assert await part.run_once()
    assert not await world.another("whole").run_once()
    load = world.database.conclusions.load
    assert all([await load(service_of(name)) for name in names])
    live = await events_bytes(world.database)
    assert live == lines((await fold_store(world.database, END, POLICY)).events) != b""
    # One detector goes on where the parts were, and folds nothing again.
    for part in parts:
        await part.leadership.release()
    world.detector = world.another("whole")
    assert not await world.detector.run_once()
    assert await events_bytes(world.database) == live
