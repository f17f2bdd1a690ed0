"""The store of thirty days."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from monitor.store.database import open_database
from monitor.store.reading.events import list_events, list_transitions
from tests.world.month import DAY, HOUR, MINUTE, Month, fill
from tests.world.stores import migrated

END = 1_800_000_000_000 - 1_800_000_000_000 % DAY + 8 * HOUR


async def test_every_story_is_told_when_it_happened(tmp_path: Path) -> None:
    url = await migrated(tmp_path / "month.sqlite")
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
