"""The sum of an hour up to a moment in it, on both databases."""

from __future__ import annotations

from monitor.store.database import Database
from monitor.store.reading.counts import service_hours
from monitor.store.reading.part_of_hour import part_of_hour
from tests.monitor.store.samples import HOUR, MINUTE, NOON
from tests.monitor.store.test_service_hours import TARGETS, judge


async def test_a_part_of_an_hour_is_summed_up_as_hours_are(store: Database) -> None:
    """All rounds are in the first half hour: what is measured after a moment is left out."""
    await judge(store)
    async with store.reading() as connection:
        whole = await service_hours(connection, ["wechat"], NOON, NOON + HOUR)
        mine = await service_hours(
            connection, ["wechat"], NOON, NOON + HOUR, country="RU", asns=(64501, 64502)
        )
        part = await part_of_hour(connection, TARGETS, NOON + 31 * MINUTE)
        here = await part_of_hour(
            connection, TARGETS, NOON + 31 * MINUTE, "RU", asns=(64501, 64502)
        )
        early = await part_of_hour(connection, TARGETS, NOON + 10 * MINUTE, "RU")
    assert sorted(part, key=lambda row: row.country) == whole
    assert here == mine
    assert [(row.n, row.failing) for row in early] == [(4, 1)]
