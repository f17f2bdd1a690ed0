"""A process of its own says what the web server's would."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from functools import partial
from pathlib import Path

import pytest

from monitor import page_server
from monitor.page_server import PageSettings, site_over
from monitor.store.database import migrate, open_database
from monitor.store.shared_transactions import Queued
from monitor.web.page_processes import PageProcesses
from monitor.web.queued import queued_header
from tests.world.postgres import PostgreSQL, postgres_server
from tests.world.site import client, make_file
from tests.world.waiting import HANG_SECONDS, eventually

__all__ = ["postgres_server"]
LANGUAGES = {"en": ">Recent<", "ru": ">Недавнее<"}


def timeless(text: str) -> str:
    """Without what changes from second to second."""
    return re.sub(r"\d+ (s|min|h|d|с|мин|ч|д)\b|\d\d:\d\d(:\d\d)?|as_of=[0-9A-Za-z%.:-]+", "", text)


async def test_another_process_says_the_same(tmp_path: Path) -> None:
    made = await asyncio.to_thread(make_file, tmp_path / "world.sqlite")
    settings = PageSettings(
        database=f"sqlite+aiosqlite:///{made}",
        catalogue=None,
        pace=1,
        public_url="https://reach.example",
        interval_seconds=1800,
    )
    serve = partial(page_server.serve, settings, 0.001)
    processes = PageProcesses(1, serve, [page_server.__name__])
    async with (
        asyncio.timeout(HANG_SECONDS),
        await open_database(settings.database) as database,
        processes.running(),
    ):
        alone = await site_over(settings, database)
        shared = dataclasses.replace(alone, processes=processes, cache_seconds=0.0)
        await eventually(lambda: processes.ready, "it makes pages")
        for language, word in LANGUAGES.items():
            said = []
            for site in (alone, shared):
                async with client(site) as web:
                    answer = await web.get(f"/s/wechat?range=7d&lang={language}")
                    said.append((answer.status, dict(answer.cookies), await answer.text()))
            assert said[0][0] == said[1][0] == 200
            assert said[0][1] == said[1][1]
            assert word in said[0][2]
            assert timeless(said[0][2]) == timeless(said[1][2])


@pytest.mark.needs("postgresql")
async def test_a_process_keeps_no_transaction_for_nobody(postgres_server: PostgreSQL) -> None:
    url = postgres_server.fresh()
    await migrate(url)
    settings = PageSettings(
        database=url, catalogue=None, pace=1, public_url="http://x", interval_seconds=1800
    )
    serve = partial(page_server.serve, settings, 0.001)
    processes = PageProcesses(1, serve, [page_server.__name__])
    idle = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND state = 'idle in transaction' AND pid != pg_backend_pid()"
    )
    async with asyncio.timeout(HANG_SECONDS), processes.running():
        await eventually(lambda: processes.ready, "it makes pages")
        session = processes._processes[0].session
        assert session is not None
        headers = queued_header(Queued(time.monotonic(), followed=True))
        async with session.get("http://pages/s", headers=headers) as answer:
            assert answer.status == 200
        await eventually(lambda: postgres_server.column(url, idle) == ["0"])
    postgres_server.drop(url)
