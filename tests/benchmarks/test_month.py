"""The store of thirty days."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from monitor.interop.forms import rfc3339
from monitor.store.database import open_database
from monitor.store.reading.events import list_events, list_transitions
from tests.monitor.web.pages.test_overview import text_of
from tests.world.month import DAY, HOUR, MINUTE, PEOPLE, Month, fill
from tests.world.site import client, site_of
from tests.world.stores import migrated

END = 1_800_000_000_000 - 1_800_000_000_000 % DAY + 8 * HOUR


@pytest.mark.slow
@pytest.mark.timeout(1600)
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
    await pages_of_the_past_show_what_was_measured(url, month)


async def pages_of_the_past_show_what_was_measured(url: str, month: Month) -> None:
    """Weeks ago, of which sums by hour are not kept."""
    began, _ended = month.story("two weeks")
    at, day = rfc3339(began + 2 * DAY), rfc3339(began + DAY)[:10]
    async with (
        await open_database(url) as database,
        client(site_of(database, clock=lambda: END)) as web,
    ):

        async def read(path: str) -> str:
            return text_of(await (await web.get(path)).text())

        then = await read(f"/c/RU?as_of={at}")
        assert "5 vantages measured" in then
        assert "Nobody measured" not in then
        past = await read(f"/c/RU?since={day}&until={rfc3339(began + 2 * DAY)[:10]}")
        assert "nothing was measured" not in past
        # Nothing that was measured later.
        dense = rfc3339(began + 10 * MINUTE)
        vantage = await read(f"/v/{PEOPLE[0].probe}?as_of={dense}")
        assert f"Round of {dense[:10]}" in vantage
        assert f"Round of {rfc3339(END)[:10]}" not in vantage
