"""The page of an event's rounds, and the first picture on the event's own page."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from monitor.commands.explain import explain
from monitor.detection.policy import Policy
from monitor.detector.loop import Detecting
from monitor.store.database import Database, open_database
from monitor.store.reading.events import all_events
from monitor.store.upkeep import prune
from monitor.web.explanation_cache import Stories
from tests.monitor.fleet import START, admitted, from_round, rounds
from tests.monitor.web.pages.test_overview import text_of
from tests.world.site import Client, client, site_of


@contextlib.asynccontextmanager
async def lived(path: Path, policy: Policy) -> AsyncIterator[tuple[Database, Client]]:
    """A site over a store in which a detector has lived through a block."""
    database = await open_database(f"sqlite+aiosqlite:///{path}/store.sqlite")
    try:
        await database.facts.add(admitted(rounds(range(40), from_round(4, 20))), ())
        detector = Detecting(database, policy, "one", lambda: START + 10**9)
        while await detector.turn():
            pass
        stories = Stories(partial(explain, database))
        site = replace(site_of(database), stories=stories, clock=lambda: START + 3_600_000)
        async with asyncio.TaskGroup() as group, client(site) as web:
            task = group.create_task(stories.run())
            yield database, web
            task.cancel()
    finally:
        await database.close()


async def test_pictures_and_tables_of_every_series(tmp_path: Path) -> None:
    async with lived(tmp_path, Policy()) as (database, web):
        async with database.reading() as connection:
            (event,) = await all_events(connection)
        answer = await web.get(f"/e/{event.id}/rounds")
        body = await answer.text()
        assert answer.status == 200
        assert body.count("<polygon") == 3
        assert "Evidence in AS64501" in body
        assert 'class="needed"' in body
        said = text_of(body)
        for part in (
            "AS64501, messaging, TLS",
            "what is needed",
            "Vantage 3",
            "failed tls.reset.sni",
            "blocked (confirmed)",
            f"reachwatch explain {event.id}",
        ):
            assert part in said, part
        own = await (await web.get(f"/e/{event.id}")).text()  # told by now
        assert own.count("<polygon") == 3
        assert f'href="/e/{event.id}/rounds"' in own


async def test_facts_that_were_let_go_and_no_event(tmp_path: Path) -> None:
    async with lived(tmp_path, Policy()) as (database, web):
        async with database.reading() as connection:
            (event,) = await all_events(connection)
        await prune(database.engines.place, START + 10**9)
        said = text_of(await (await web.get(f"/e/{event.id}/rounds")).text())
        assert "This cannot be shown: its measurements are no longer kept." in said
        assert (await web.get(f"/e/{'0' * 16}/rounds")).status == 404
        own = await web.get(f"/e/{event.id}")
        assert own.status == 200
        assert "What each vantage added, and which gates held" in await own.text()
