from __future__ import annotations

import asyncio
import time

from monitor.store import database
from monitor.store.database import Database, open_database
from monitor.store.records import Seen
from tests.monitor.store.arrivals import arrivals
from tests.monitor.store.samples import admitted
from tests.monitor.store.stage import acting, line


async def test_collect_detect_and_serve_share_one_database(url: str) -> None:
    """Three processes at once, as `collect`, `detect` and `serve` are; nobody is ever refused."""
    store = await open_database(url)
    reads = stored = 0
    with acting("collector", url, "1") as collecting, acting("detector", url, "10") as detecting:
        line(collecting)
        while detecting.poll() is None or reads <= 20 or stored <= 20:
            stored = len(await arrivals(store))
            await store.registry.record_seen([Seen(probe="p-1", at=1)])
            reads += 1
            await asyncio.sleep(0.005)
        assert line(detecting) == "saved"
        assert collecting.poll() is None
    await store.close()


async def test_what_was_stored_is_there_after_closing(url: str) -> None:
    for number in range(3):
        store = await open_database(url)
        assert len(await arrivals(store)) == number
        await store.facts.add([admitted(number)], [])
        await store.close()


async def test_several_open_at_once_in_one_process(url: str) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(open_database(url)) for _ in range(4)]
    for task in tasks:
        await task.result().facts.add([admitted(1)], [])
        await task.result().close()
    assert not await database.migrate(url)


async def test_messages_never_hold_the_password(store: Database) -> None:
    assert "@" not in store.engines.place or "postgres@" in store.engines.place


def test_the_wall_clock_is_in_milliseconds() -> None:
    before = int(time.time() * 1000)
    assert before <= database.wall_clock() <= time.time() * 1000
