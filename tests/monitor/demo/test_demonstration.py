"""What the demonstration is started with; its course is in tests/acceptance."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

import pytest

from monitor.demo import demonstration
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
