"""Random `kill -9` of probe, broker and collector: nothing that was printed as taken is lost or
doubled. `./scripts/bench kills` kills the database as well."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.fleet import Fleet
from tests.faults.kills import HONEST, drained, killed_at_random, service
from tests.world.waiting import eventually

pytestmark = pytest.mark.needs("mosquitto")

EAGER = [sys.executable, "-m", "tests.faults.early_ack", "collect"]


@pytest.fixture
async def service_port() -> AsyncIterator[int]:
    async with service() as port:
        yield port


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
    victims = ("probe", "broker", "collector")
    seed = random.randrange(10**6)
    await killed_at_random(fleet, victims, kills, least_unacknowledged, seed)


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
