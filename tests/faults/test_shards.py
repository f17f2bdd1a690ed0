"""Detectors that share the services over PostgreSQL, as processes of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from monitor.commands.replay import fold_store, lines
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.store.database import Database, open_database
from monitor.store.reading.measurements import list_judged
from monitor.store.reading.progress import folded_rounds
from monitor.store.tables import lease
from probes.runtime.clock import wall_clock
from tests.faults.test_detector import REACHWATCH, running
from tests.monitor.fleet import INTERVAL, admitted, events_bytes, from_round, rounds
from tests.world.ports import free_port
from tests.world.postgres import PostgreSQL, postgres_server
from tests.world.waiting import eventually

__all__ = ["postgres_server"]

pytestmark = [pytest.mark.needs("postgresql"), pytest.mark.rest]
POLICY = Policy()
TARGETS = [f"s{n}/chat" for n in range(5)]
END = 2**62
PATIENCE = 280.0
"""Seconds, against a hang alone: a detector rests for eight times as long as it has worked, and on
a busy machine it works for long."""


async def fill(database: Database, start: int, numbers: range) -> None:
    for target in TARGETS:
        await database.facts.add(
            admitted(rounds(numbers, from_round(4), target=target, start=start)), ()
        )


async def have_judged(database: Database, newest: int) -> bool:
    """Whether two detectors lead, and all services are judged up to a round."""
    async with database.reading() as connection:
        leaders = await connection.scalar(
            sa.select(sa.func.count()).where(lease.c.expires > wall_clock())
        )
        folded = [round for _, round in await folded_rounds(connection)]
    return leaders == 2 and folded == [newest] * len(TARGETS)


async def said(database: Database) -> dict[str, str]:
    async with database.reading() as connection:
        rows = await list_judged(connection, limit=100_000)
    return {row.id: row.verdict.rule for row in rows}


async def test_two_processes_conclude_what_one_does(
    tmp_path: Path, postgres_server: PostgreSQL
) -> None:
    url = postgres_server.fresh()
    now = wall_clock()
    start = now - now % INTERVAL - 60 * INTERVAL
    database = await open_database(url)
    await fill(database, start, range(20))

    def detect(part: int) -> list[str]:
        broker = f"mqtt://127.0.0.1:{free_port()}"
        store = ("--database", url, "--broker", broker)
        return [*REACHWATCH, "detect", *store, "--shard", f"{part}/2"]

    with running(*detect(1)), running(*detect(2)):
        newest = start + 19 * INTERVAL
        await eventually(
            lambda: have_judged(database, newest),
            "both have judged what was there",
            seconds=PATIENCE,
        )
        await fill(database, start, range(20, 30))
        newest = start + 29 * INTERVAL
        await eventually(
            lambda: have_judged(database, newest), "and what came while they ran", seconds=PATIENCE
        )
    whole = await open_database(f"sqlite+aiosqlite:///{tmp_path}/store.sqlite")
    await fill(whole, start, range(30))
    alone = Detector(whole, POLICY, "alone", wall_clock, rest_factor=0)
    while await alone.run_once():
        pass
    live = await events_bytes(database)
    assert live == await events_bytes(whole) != b""
    assert live == lines((await fold_store(database, END, POLICY)).events)
    assert await said(database) == await said(whole)
    await whole.close()
    await database.close()
    postgres_server.drop(url)
