"""Opening a store that is away, from a process that is asked to end, or not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from monitor import available_store, http_server
from monitor.available_store import StoppedError, open_available
from monitor.store.database import StoreRefusedError
from monitor.store.records import StoreUnavailableError
from tests.world.ports import free_port
from tests.world.postgres import PostgreSQL
from tests.world.waiting import HANG_SECONDS, eventually


@contextlib.asynccontextmanager
async def served(port: int, app: web.Application) -> AsyncIterator[None]:
    async with http_server.serving(app, "127.0.0.1", port):
        yield


@contextlib.asynccontextmanager
async def unserved(_: web.Application) -> AsyncIterator[None]:
    raise AssertionError("nothing to wait for")
    yield


async def answer(port: int, path: str) -> tuple[int, str]:
    """Status and body; (0, "") while nobody listens."""
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}{path}") as response,
        ):
            return response.status, await response.text()
    except aiohttp.ClientConnectionError:
        return 0, ""


async def test_a_process_waits_until_postgresql_is_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(available_store, "RETRY_SECONDS", 0.1)
    server, port = PostgreSQL(), free_port()
    try:
        server.start()
        url = server.fresh()
        server.stop()
        opening = asyncio.create_task(
            open_available(url, asyncio.Event(), partial(served, port), 5.0)
        )

        async def waits() -> bool:
            assert not opening.done()
            return (await answer(port, "/readyz"))[0] == 503

        await eventually(waits)
        assert (await answer(port, "/readyz"))[1].startswith("store: postgresql+asyncpg://")
        assert await answer(port, "/healthz") == (200, "ok\n")
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(HANG_SECONDS), await opening as store:
            assert await store.registry.tokens() == []
        assert await answer(port, "/healthz") == (0, "")
    finally:
        server.remove()


async def test_a_process_that_waits_ends_when_it_is_asked_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("monitor.available_store.RETRY_SECONDS", 2 * HANG_SECONDS)
    stop = asyncio.Event()
    url, port = f"postgresql+asyncpg://u@127.0.0.1:{free_port()}/d", free_port()
    opening = asyncio.create_task(open_available(url, stop, partial(served, port), 5.0))
    await asyncio.sleep(0.3)
    stop.set()
    with pytest.raises(StoppedError):
        async with asyncio.timeout(HANG_SECONDS):
            await opening


async def test_what_waiting_does_not_help_is_refused(tmp_path: Path) -> None:
    stop = asyncio.Event()
    (tmp_path / "no.db").write_text("hello " * 1000)
    (tmp_path / "directory.db").mkdir()
    for url, kind in (
        ("mysql://x/y", StoreRefusedError),
        (f"sqlite+aiosqlite:///{tmp_path}/no.db", StoreRefusedError),
        (f"sqlite+aiosqlite:///{tmp_path}/directory.db", StoreUnavailableError),
    ):
        with pytest.raises(kind):
            await open_available(url, stop, unserved, 5.0)
