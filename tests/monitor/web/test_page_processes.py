"""Answers come from other processes, whose end nobody waits for."""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import os

from monitor.web.page_processes import PageProcesses
from monitor.web.site import Site
from tests.world import tiny_pages
from tests.world.site import client
from tests.world.waiting import HANG_SECONDS, eventually


async def ready(processes: PageProcesses) -> int:
    """The process id of the only one, once it makes pages."""
    await eventually(lambda: processes.ready, "it makes pages")
    (child,) = (each for each in multiprocessing.active_children() if each.name == "pages")
    assert child.pid is not None
    return child.pid


async def test_another_process_makes_pages_and_may_end(site: Site) -> None:
    processes = PageProcesses(1, tiny_pages.serve, [tiny_pages.__name__])
    site = dataclasses.replace(site, processes=processes)
    async with asyncio.timeout(HANG_SECONDS), processes.running(), client(site) as web:
        assert "by another" not in await (await web.get("/s/wechat")).text()  # none is ready
        first = await ready(processes)

        answer = await web.get("/s/wechat?lang=fr", headers={"X-Forwarded-For": "192.0.2.1"})
        assert await answer.text() == "/s/wechat?lang=fr by another"
        assert answer.headers["Reachwatch-Conclusions"] == "7"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Asked"] == "Accept, Accept-Encoding"
        assert "reachwatch_page_processes 1.0" in await (await web.get("/metrics")).text()

        crashed = await web.get("/s/crash")
        assert crashed.status == 503
        assert crashed.headers["Retry-After"] == "1"
        assert "please try again" in await crashed.text()
        assert "by another" not in await (await web.get("/s/wechat")).text()
        last = await ready(processes)
        assert last != first
        assert "by another" in await (await web.get("/s/wechat")).text()
        ended = "reachwatch_page_processes_ended_total 1.0"
        assert ended in await (await web.get("/metrics")).text()
    assert not os.path.exists(f"/proc/{last}")
