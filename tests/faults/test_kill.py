"""Random `kill -9` of probe, broker, collector and database: nothing that was printed as taken is
lost or doubled."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.fleet import Fleet
from tests.world.postgres import PostgreSQL
from tests.world.waiting import eventually

pytestmark = pytest.mark.needs("mosquitto")

HONEST = [sys.executable, "-m", "monitor.commands.main", "collect"]
EAGER = [sys.executable, "-m", "tests.faults.early_ack", "collect"]


@pytest.fixture
async def service_port() -> AsyncIterator[int]:
    """A TCP service that accepts and closes."""

    async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def flowing(fleet: Fleet, more: int) -> None:
    """Wait until so many more measurements are stored."""
    before = len(fleet.stored())
    await eventually(
        lambda: len(fleet.stored()) >= before + more, "measurements reach the store", pause=0.05
    )


async def drained(fleet: Fleet) -> tuple[set[str], Counter[str]]:
    """Start again what was killed, end the probe properly, and read both sides."""
    await flowing(fleet, 3)
    await fleet.drain()
    return fleet.taken(), Counter(fleet.stored())


@pytest.fixture
def durable_server() -> Iterator[PostgreSQL]:
    """A PostgreSQL of the test's own, whose commits wait for the disk."""
    server = PostgreSQL(durable=True)
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kills", "least_unacknowledged"),
    [(6, 3), pytest.param(40, 20, marks=pytest.mark.rest)],
    ids=["a few", "forty"],
)
async def test_kills_lose_nothing_and_double_nothing(
    tmp_path: Path, service_port: int, kills: int, least_unacknowledged: int
) -> None:
    fleet = Fleet(tmp_path, service_port, HONEST)
    await killed_at_random(fleet, ("probe", "broker", "collector"), kills, least_unacknowledged)


@pytest.mark.slow
@pytest.mark.rest
@pytest.mark.needs("postgresql")
async def test_kills_of_the_database_lose_nothing_and_double_nothing(
    tmp_path: Path, service_port: int, durable_server: PostgreSQL
) -> None:
    fleet = Fleet(tmp_path, service_port, HONEST, durable_server)
    await killed_at_random(fleet, ("probe", "broker", "collector", "database"), 12, 6)


async def killed_at_random(
    fleet: Fleet, victims: Sequence[str], kills: int, least_unacknowledged: int
) -> None:
    """Kill one after the other, start it again, and compare what was taken with what is stored."""
    seed = random.randrange(10**6)
    rng = random.Random(seed)
    await fleet.prepare()
    killed: Counter[str] = Counter()
    unacknowledged = 0
    try:
        for name in ("broker", "collector", "probe"):
            fleet.start(name)
        await flowing(fleet, 3)
        while killed.total() < kills or unacknowledged < least_unacknowledged:
            assert killed.total() < 3 * kills, f"seed {seed}: batches are never caught waiting"
            await asyncio.sleep(rng.uniform(0.2, 1.2))
            victim = rng.choice(victims)
            waiting = fleet.unacknowledged()
            fleet.kill(victim)
            killed[victim] += 1
            unacknowledged += waiting > 0
            await asyncio.sleep(rng.uniform(0.0, 0.4))
            fleet.start(victim)
        taken, stored = await drained(fleet)
    finally:
        fleet.end()
    print(
        f"\nseed {seed}: {killed.total()} kills ({dict(killed)}), {unacknowledged} while a batch "
        f"was unacknowledged; {len(taken)} printed as taken, {len(stored)} stored, "
        f"{len(taken - stored.keys())} lost, {sum(n > 1 for n in stored.values())} twice"
    )
    assert len(taken) > kills
    assert taken == set(stored), f"seed {seed}"
    assert set(stored.values()) == {1}, f"seed {seed}"


@pytest.mark.slow
async def test_a_collector_that_acknowledges_before_the_commit_is_found_out(
    tmp_path: Path, service_port: int
) -> None:
    fleet = Fleet(tmp_path, service_port, EAGER)
    await fleet.prepare()
    try:
        for name in ("broker", "collector", "probe"):
            fleet.start(name)
        await eventually(lambda: fleet.acknowledged() > 0, "an acknowledgement")
        fleet.kill("collector")
        fleet.collector = HONEST
        fleet.start("collector")
        taken, stored = await drained(fleet)
    finally:
        fleet.end()
    assert taken - stored.keys(), "the test cannot see a lost measurement"
