"""The present state's verdicts, on both databases."""

from __future__ import annotations

from monitor.store.database import Database
from monitor.store.reading.newest import newest_verdicts
from monitor.store.records import Filter
from tests.monitor.store.samples import MINUTE, NOON, judged_store


async def test_newest_verdict_of_each_vantage(store: Database) -> None:
    await judged_store(store)
    async with store.reading() as connection:
        found = await newest_verdicts(connection, NOON)
        assert len(found) == 4
        assert {each.round for each in found} == {NOON + 2 * MINUTE}
        assert len(await newest_verdicts(connection, NOON, Filter(service="signal"))) == 2
        assert await newest_verdicts(connection, NOON + 3 * MINUTE) == []
