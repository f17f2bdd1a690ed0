"""Processes beside the one under test: `python -m tests.monitor.store.actors ROLE URL ...`.

Each prints one line when it has done something that the test waits for.
"""

from __future__ import annotations

import asyncio
import resource
import sqlite3
import sys
import time

from monitor.store import bulk_insert
from monitor.store.database import open_database
from monitor.store.engines import writing
from monitor.store.records import StoreUnavailableError
from tests.monitor.store.arrivals import arrivals
from tests.monitor.store.samples import MINUTE, NOON, admitted, concluded, fact_of, id_of, verdict


def say(line: object) -> None:
    print(line, flush=True)


async def opener(url: str) -> None:
    """Open, add one, close."""
    store = await open_database(url)
    await store.facts.add([admitted(int(time.time_ns() % 10**9))], [])
    await store.close()


async def half_done(url: str) -> None:
    """Stay in the middle of a transaction that has inserted a thousand rows."""
    store = await open_database(url)
    rows = [admitted(n) for n in range(1000)]
    await store.facts.add(rows[:1], [])
    async with writing(store.engines) as connection:
        numbers = [
            (n + 2, 0, 0, 1, 1, 0, 0, bytes.fromhex(id_of(r))) for n, r in enumerate(rows[1:])
        ]
        await bulk_insert.insert_new(connection, numbers, 1)
        say("in the middle")
        await asyncio.sleep(60)


async def collector(url: str, probe: str) -> None:
    """Add for ever, and print every id once it is promised to be durable."""
    store = await open_database(url)
    for batch in range(10**6):
        rows = [admitted(batch * 10 + n, probe=int(probe)) for n in range(10)]
        await store.facts.add(rows, [])
        for one in rows:
            say(id_of(one))


async def detector(url: str, saves: str) -> None:
    """Fold what arrives, as the real one does, and say so after so many saves."""
    store = await open_database(url)
    last = 0
    for _ in range(int(saves)):
        facts = await store.facts.facts(NOON, NOON + MINUTE, "wechat")
        said = [fact_of(one, verdict(admitted(0)).verdict) for one in facts]
        last = (await store.facts.news(last, NOON)).last
        await store.conclusions.save([concluded(facts=tuple(said[-200:]))], last)
    await store.close()
    say("saved")


def locker(path: str) -> None:
    """Hold the write lock of a file until a line arrives."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    say("locked")
    sys.stdin.readline()
    connection.execute("COMMIT")
    connection.close()


async def cramped(url: str, limit: str) -> None:
    """Fill files that may not grow beyond a limit (0: the file system's own), then get room
    and go on. Prints the trouble, then what is stored."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    store = await open_database(url)
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), hard))
    promised = 0
    trouble = ""
    for batch in range(400):
        try:
            rows = [admitted(batch * 50 + n) for n in range(50)]
            await store.facts.add(rows, [])
            promised += 50
        except StoreUnavailableError as error:
            trouble = str(error)
            break
    say(trouble or "no trouble")
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    else:
        say("waiting for room")
        sys.stdin.readline()
    for attempt in range(20):
        try:
            got = await store.facts.add(rows, [])
            break
        except StoreUnavailableError:
            await asyncio.sleep(0.05 * attempt)
    held = len(await arrivals(store))
    await store.close()
    say(f"{promised} {got.new + got.duplicate} {held}")


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    act = globals()[role]
    if asyncio.iscoroutinefunction(act):
        asyncio.run(act(*arguments))
    else:
        act(*arguments)
