"""The store of thirty days."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from monitor.store.database import migrate, open_database
from monitor.store.reading.events import list_events, list_transitions
from tests.world.month import DAY, HOUR, MINUTE, Month, fill
from tests.world.postgres import PostgreSQL, postgres_server
from tests.world.stores import migrated

__all__ = ["postgres_server"]

END = 1_800_000_000_000 - 1_800_000_000_000 % DAY + 8 * HOUR


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
async def test_every_story_is_told_when_it_happened(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if store == "sqlite":
        url = await migrated(tmp_path / "month.sqlite")
    else:
        server: PostgreSQL = request.getfixturevalue("postgres_server")
        url = server.fresh()
        await migrate(url)
    month = Month(END, quiet=6 * HOUR)
    await fill(url, month)
    async with await open_database(url) as database, database.reading() as connection:
        events = await list_events(connection)
        told = await list_transitions(connection)
    places = Counter((event.service, event.country, str(event.state)) for event in events)
    assert places == {
        ("telegram", "RU", "closed"): 2,
        ("telegram", "KE", "open"): 1,
        ("wechat", "RU", "closed"): 2,
        ("wechat", "RU", "open"): 1,
        ("wechat", "FR", "retracted"): 1,
        ("signal", "RU", "closed"): 1,
    }
    assert any(change.kind == "again" for event in events for change in event.history)
    began, ended = month.story("two minutes")
    (short,) = (event for event in events if began <= event.onset < ended)
    published = {row.kind: row.at for row in told if row.event.id == short.id}
    assert began < published["opened"] < ended
    assert ended < published["closed"] < ended + 15 * MINUTE
