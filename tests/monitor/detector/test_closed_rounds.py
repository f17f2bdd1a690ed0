"""Rounds that are over, folded over a real store."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from probes.wire.measurement import Role
from tests.monitor.detector.live import (
    BLOCK,
    POLICY,
    World,
    folded,
    world,
)
from tests.monitor.fleet import (
    INTERVAL,
    START,
    rounds,
)

__all__ = ["world"]


async def test_services_are_folded_each_by_itself(world: World) -> None:
    await world.arrive(rounds(range(10), BLOCK))
    await world.arrive(rounds(range(10), target="signal/chat"))
    await world.settle()
    (event,) = await world.events()
    assert event.service == "wechat"
    assert await world.database.conclusions.load("signal") is not None


async def test_what_lies_in_a_hole_is_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.arrive(rounds([0, 1, 9000, 9001]))
    await world.arrive(rounds(range(2, 9000, 180), target="signal/chat"))
    asked: list[tuple[int, int]] = []
    real = world.database.facts.lines

    def lines(first: int, last: int, services: Collection[str], role: Role, after: int = 0) -> Any:
        asked.append((first, last))
        return real(first, last, services, role, after)

    monkeypatch.setattr(world.database.facts, "lines", lines)
    world.now = START + 9100 * INTERVAL
    await world.detector.run_once()
    assert await folded(world) == START + 9001 * INTERVAL
    # Chunks of signal's rounds may be longer, but never reach over the hole in wechat's alone.
    monkeypatch.undo()
    await world.arrive(rounds([9500, 18_000, 18_001]))
    asked.clear()
    monkeypatch.setattr(world.database.facts, "lines", lines)
    await world.settle(START + 18_100 * INTERVAL)
    assert max(last - first for first, last in asked) <= INTERVAL + POLICY.ms(300)
    assert await folded(world) == START + 18_001 * INTERVAL
