"""What the demonstration is started with; its course is in tests/acceptance."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import pytest

from monitor.demo import demonstration
from monitor.demo.block import DEFAULT, DemoBlock
from monitor.pipeline import everything
from probes.runtime.options import OptionError


def given(**values: object) -> argparse.Namespace:
    return argparse.Namespace(**{"demo_block": None, "pace": None, "interval": None} | values)


async def test_a_block_that_cannot_be_shown_is_one_line() -> None:
    with pytest.raises(OptionError, match=r"--demo-block: tcp\.reset needs a firewall"):
        await demonstration.demonstrate(
            given(demo_block="wechat:64501:tcp.reset"), asyncio.Event(), everything
        )


async def test_the_data_directory_ends_with_the_demonstration(tmp_path: Path) -> None:
    async with demonstration._data(given(data=None)) as data:
        assert data.is_dir()
    assert not data.exists()
    async with demonstration._data(given(data=tmp_path / "kept")) as data:
        assert data.stat().st_mode & 0o777 == 0o700
    assert data.exists()


def test_the_script_fits_the_promise() -> None:
    """Blocked soon enough that a newcomer sees it confirmed within three minutes."""
    confirmed_after = (
        demonstration.START_AFTER_SECONDS + 5 * 60 + 3 * demonstration.INTERVAL_SECONDS
    )
    assert confirmed_after / demonstration.PACE < 120
    assert demonstration.LIFT_AFTER_SECONDS > 5 * 60 + 5 * demonstration.INTERVAL_SECONDS


class _World:
    """Says whether a block is on."""

    def __init__(self) -> None:
        self.blocked: list[DemoBlock | None] = []

    def block(self, block: DemoBlock) -> None:
        self.blocked.append(block)

    def lift(self) -> None:
        self.blocked.append(None)


@pytest.mark.parametrize(("shown", "found_after"), [(0.2, 0.05), (0.0, 0.2)])
async def test_a_block_lasts_until_it_was_confirmed_for_a_while(
    monkeypatch: pytest.MonkeyPatch, shown: float, found_after: float
) -> None:
    """A slow machine needs longer than the two minutes, and as long again to show it."""
    monkeypatch.setattr(demonstration, "LIFT_AFTER_SECONDS", 0)
    monkeypatch.setattr(demonstration, "SHOWN_SECONDS", shown)
    world, confirmed = _World(), asyncio.Event()
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as group:
        group.create_task(demonstration._hold(world, DEFAULT, 1, confirmed))  # type: ignore[arg-type]
        await asyncio.sleep(found_after)
        assert world.blocked == [DEFAULT]
        confirmed.set()
        at = loop.time()
    assert world.blocked == [DEFAULT, None]
    assert loop.time() - at >= 0.19


async def test_a_block_that_is_never_confirmed_is_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demonstration, "LIFT_AFTER_SECONDS", 0)
    monkeypatch.setattr(demonstration, "CONFIRM_SECONDS", 0.01)
    world = _World()
    await demonstration._hold(world, DEFAULT, 1, asyncio.Event())  # type: ignore[arg-type]
    assert world.blocked == [DEFAULT, None]


async def test_a_block_that_is_confirmed_at_once_lasts_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, confirmed = _World(), asyncio.Event()
    confirmed.set()
    monkeypatch.setattr(demonstration, "SHOWN_SECONDS", 0.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await demonstration._hold(world, DEFAULT, 1, confirmed)  # type: ignore[arg-type]
    assert world.blocked == [DEFAULT, None]  # lifted when the demonstration ends, too
