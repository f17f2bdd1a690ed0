"""Work behind requests: it ends with the server, and its failures are logged."""

from __future__ import annotations

import asyncio

import pytest

from monitor.store.records import StoreUnavailableError
from monitor.web.background import Background
from tests.world.waiting import eventually


async def test_work_is_cancelled_at_the_end() -> None:
    background, ended = Background(), asyncio.Event()

    async def forever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    assert not background.start(forever)
    async with background.running():
        assert background.start(forever)
        await asyncio.sleep(0)
    assert ended.is_set()
    assert not background.start(forever)


async def test_a_failure_ends_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    background, done = Background(), []

    async def broken() -> None:
        raise ValueError("a bug")

    async def away() -> None:
        raise StoreUnavailableError("locked")

    async def fine() -> None:
        done.append(1)

    async with background.running():
        for work in (broken, away, fine):
            background.start(work)
        await eventually(lambda: bool(done))
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ValueError]
