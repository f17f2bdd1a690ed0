"""The parts as processes where no broker is reached: each does what it can, and a retest comes all
the way from the detector to a real probe that asks the web server."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.store.database import open_database
from monitor.store.reading.measurements import list_measurements_of_probe
from probes.daemon.agent import Agent
from probes.delivery.poll_rhythm import PollRhythm
from probes.runtime.broker_url import parse_way
from tests.monitor.fleet import PEOPLE, TARGET, admitted, from_round, rounds
from tests.monitor.test_pipeline import enrolled_at, fetch, reachwatch, wait
from tests.probes.daemon.in_process import agent_here
from tests.world.ports import free_port
from tests.world.stores import migrated
from tests.world.tiny import tiny_world
from tests.world.waiting import eventually

USUAL = 300_000


@contextlib.asynccontextmanager
async def at_work(agent: Agent) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        group.create_task(agent.run())
        yield
        agent.stop()


@pytest.mark.rest
async def test_collect_waits_serve_needs_nothing_and_what_detect_asks_reaches_who_polls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.rounds.retests.SPREAD", 0.0)
    url, here = f"http://127.0.0.1:{free_port()}", PEOPLE[0]
    store = ("--database", await migrated(tmp_path / "store.sqlite"))
    words = (*store, "--broker", f"mqtt://127.0.0.1:{free_port()}")
    named = ("--public-url", f"{url}/")
    logs = {part: tmp_path / f"{part}.log" for part in ("serve", "collect", "detect")}
    database = await open_database(store[1])
    began = int(time.time()) // 60 * 60_000 - 3 * USUAL
    quiet = rounds(range(3), interval=USUAL, start=began)
    await database.facts.add(admitted(quiet), ())

    async def stored_rounds() -> set[int]:
        async with database.reading() as connection:
            found = await list_measurements_of_probe(connection, probe, 0)
        return {measured.round for measured in found if measured.target == TARGET}

    async def both_rounds() -> set[int]:
        found = await stored_rounds()
        return found if len(found) == 2 else set()

    alone = ("--http", url[7:], "--processes", "1")
    with (
        reachwatch(logs["serve"], "serve", *words, *named, *alone) as serve,
        reachwatch(logs["collect"], "collect", *words) as collect,
        reachwatch(logs["detect"], "detect", *words) as detect,
    ):
        wait(f"{url}/readyz", serve, logs["serve"])
        assert f'"url":"{url}"' in fetch(f"{url}/api/v1/openapi.json")[1].decode()
        given = enrolled_at(url, *store)
        probe = given["probe"]
        async with tiny_world(tmp_path / "catalogue") as catalogue:
            agent = agent_here(
                tmp_path / "probe",
                catalogue=catalogue,
                probe=probe,
                country=here.country,
                asn=here.asn,
                interval_ms=86_400_000,
                brokers=(parse_way(url),),
                user=given["user"],
                secret=given["secret"],
            )
            agent._client._outbox.polls = PollRhythm(0.5, 0.5)
            async with at_work(agent):
                await eventually(lambda: agent._runner.rounds == 1)
                own = await eventually(stored_rounds)
                fails = rounds([3], from_round(3), PEOPLE[:1], interval=USUAL, start=began)
                works = rounds([3], people=PEOPLE[3:], interval=USUAL, start=began)
                await database.facts.add(admitted([*fails, *works]), ())
                (again,) = await eventually(both_rounds) - own
        assert [collect.poll(), detect.poll()] == [None, None]
    assert "cannot use the broker" in logs["collect"].read_text()
    assert not any("Traceback" in log.read_text() for log in logs.values())
    assert again in range(began + 3 * USUAL, int(time.time() * 1000) + 60_000, 60_000)
    await database.close()
