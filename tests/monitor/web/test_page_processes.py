"""Answers come from other processes, whose end nobody waits for."""

from __future__ import annotations

import asyncio
import dataclasses
import multiprocessing
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from monitor.store.shared_transactions import Queued
from monitor.web import page_processes
from monitor.web.page_processes import AT_ONCE, PageProcesses
from monitor.web.site import Site
from tests.world import tiny_pages
from tests.world.site import Client, client
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

        visitor = {"X-Forwarded-For": "192.0.2.1", "Queued": "0.0 1"}
        answer = await web.get("/s/wechat?lang=fr", headers=visitor)
        assert await answer.text() == "/s/wechat?lang=fr by another"
        assert answer.headers["Reachwatch-Conclusions"] == "7"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["X-Queued"] != visitor["Queued"]
        assert answer.headers["X-Asked"] == "Accept, Accept-Encoding, Queued"
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


@asynccontextmanager
async def one_process(site: Site) -> AsyncIterator[tuple[PageProcesses, Client]]:
    """A web server that keeps no answer, with one process that makes pages."""
    processes = PageProcesses(1, tiny_pages.serve, [tiny_pages.__name__])
    site = dataclasses.replace(site, processes=processes, cache_seconds=0.0)
    async with asyncio.timeout(HANG_SECONDS), processes.running(), client(site) as web:
        await ready(processes)
        yield processes, web


async def test_answers_of_all_lengths_are_not_mixed_up(site: Site) -> None:
    async with one_process(site) as (processes, web):

        async def ask(n: int) -> None:
            more = n * 9_973
            answer = await web.get(f"/s/{n}?more={more}")
            assert await answer.text() == f"/s/{n}?more={more} by another{'.' * more}"

        await asyncio.gather(*map(ask, range(8 * AT_ONCE)))
        assert processes.ended == 0


async def test_who_goes_away_is_not_waited_for(site: Site) -> None:
    async with one_process(site) as (processes, web):
        # As many as are made at once: another answer waits until they are gone.
        for n in range(AT_ONCE):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await web.get(f"/s/wait?{n}")

        async def nothing_waits() -> bool:
            return await (await web.get("/s/waiting")).text() == "0"

        await eventually(nothing_waits)
        assert processes.ended == 0


async def test_it_is_told_since_when_a_request_waits_and_whether_others_do(site: Site) -> None:
    async with one_process(site) as (processes, web), asyncio.TaskGroup() as group:
        made = [group.create_task(web.get(f"/s/wait?{n}")) for n in range(AT_ONCE)]
        (process,) = processes._processes
        await eventually(lambda: process.making == AT_ONCE)

        async def asked(n: int) -> Queued:
            answer = await web.get(f"/s/{n}")
            arrived, followed = answer.headers["X-Queued"].split()
            return Queued(float(arrived), followed == "1")

        waits = [group.create_task(asked(n)) for n in range(3)]
        await eventually(lambda: processes._waiting == len(waits))
        over = time.monotonic()
        made.pop().cancel()
        turns = sorted([await each for each in waits])
        assert all(over - 10 < each.arrived < over for each in turns)
        assert [each.followed for each in turns] == [True, True, False]
        assert (await asked(4)).arrived > over
        made.pop().cancel()


async def test_a_process_that_does_not_answer_is_replaced(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_process(site) as (processes, web):
        with monkeypatch.context() as patch:
            patch.setattr(page_processes, "ANSWER_SECONDS", 0.2)
            assert (await web.get("/s/wait")).status == 503
        await eventually(lambda: processes.ended == 1 and processes.ready)
        assert "by another" in await (await web.get("/s/wechat")).text()


async def test_a_fault_ends_an_answer_and_no_process(site: Site) -> None:
    async with one_process(site) as (processes, web):
        for n in range(3 * AT_ONCE):
            assert (await web.get(f"/s/wrong?{n}")).status == 500
            assert "by another" in await (await web.get(f"/s/{n}")).text()
        assert processes.ended == 0
