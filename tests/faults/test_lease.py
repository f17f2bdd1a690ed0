"""Two detectors over one store with a backlog, on a busy machine: one leads all the time and its
conclusions grow; when it is killed, the other one goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.detector.leadership import LEASE_SECONDS
from monitor.store.database import Database, open_database
from monitor.store.reading.progress import folded_rounds
from monitor.store.tables import lease
from probes.runtime.clock import wall_clock
from tests.faults.test_detector import REACHWATCH, busy, queued_seconds, running
from tests.monitor.fleet import INTERVAL, admitted, rounds
from tests.world.ports import free_port
from tests.world.postgres import postgres_server
from tests.world.waiting import eventually

__all__ = ["postgres_server"]

SERVICES, BACKLOG_ROUNDS = 8, 250
TERMS = 4
"""For how many terms of a lease the leader is watched."""
REPLACED_SECONDS = 8.0


class Watch:
    """Who has held the lease, when it was renewed, and what was saved."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.holders: list[str] = []
        self.expiries: list[int] = []
        """Of the present holder."""
        self.saved: list[int] = []
        """How much was folded, as often as it had changed."""

    async def look(self) -> None:
        async with self.database.reading() as connection:
            row = (await connection.execute(sa.select(lease.c.holder, lease.c.expires))).first()
            folded = sum(round for _, round in await folded_rounds(connection))
        if row is not None and row.holder not in self.holders[-1:]:
            self.holders.append(row.holder)
            self.expiries = []
        if row is not None and row.expires not in self.expiries[-1:]:
            self.expiries.append(row.expires)
        if folded and folded not in self.saved[-1:]:
            self.saved.append(folded)

    async def led(self) -> int:
        await self.look()
        return len(self.holders)

    def longest_gap(self) -> float:
        """Seconds between two renewals."""
        return max(later - earlier for earlier, later in pairwise(self.expiries)) / 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        "sqlite",
        pytest.param("postgresql", marks=[pytest.mark.needs("postgresql"), pytest.mark.rest]),
    ],
)
async def test_a_leader_keeps_its_lease_over_a_backlog(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"
    if kind == "postgresql":
        url = request.getfixturevalue("postgres_server").fresh()
    start = wall_clock() - wall_clock() % INTERVAL - (BACKLOG_ROUNDS + 5) * INTERVAL
    async with await open_database(url) as database:
        for number in range(SERVICES):
            stored = rounds(range(BACKLOG_ROUNDS), target=f"s{number}/chat", start=start)
            await database.facts.add(admitted(stored), ())
        watch = Watch(database)
        broker = f"mqtt://127.0.0.1:{free_port()}"
        detect = (*REACHWATCH, "detect", "--database", url, "--broker", broker)
        with busy(2), running(*detect) as first:
            await eventually(watch.led, "one leads")
            port = free_port()
            with running(*detect, "--metrics", f"127.0.0.1:{port}") as second:
                await eventually(lambda: _stands_by(watch, port), "the other one stands by")
                until = time.monotonic() + TERMS * LEASE_SECONDS
                while time.monotonic() < until or len(watch.saved) < 2:
                    await watch.look()
                    await asyncio.sleep(0.05)
                print(f"\n{len(watch.expiries)} renewals, at most {watch.longest_gap():.1f} s")
                print(f"saved {len(watch.saved)} times")
                assert len(watch.holders) == 1
                first.kill()
                died, queued = wall_clock(), queued_seconds(second.pid)
                await eventually(lambda: _replaced(watch), "the other one leads")
                queued = queued_seconds(second.pid) - queued
                took = (watch.expiries[0] - died) / 1000 - LEASE_SECONDS - queued
                print(f"replaced {took:.1f} s after its death")
                assert took <= REPLACED_SECONDS
                before = len(watch.saved)
                newest = range(BACKLOG_ROUNDS, BACKLOG_ROUNDS + 2)
                stored = rounds(newest, target="s0/chat", start=start)
                await database.facts.add(admitted(stored), ())
                await eventually(lambda: _goes_on(watch, before), "and goes on")
                assert len(watch.holders) == 2
        assert watch.saved == sorted(watch.saved)


async def _stands_by(watch: Watch, port: int) -> bool:
    await watch.look()
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True
    return False


async def _replaced(watch: Watch) -> bool:
    return await watch.led() == 2


async def _goes_on(watch: Watch, before: int) -> bool:
    await watch.look()
    return len(watch.saved) > before
