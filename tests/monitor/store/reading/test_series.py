"""Cells of chosen series, on both databases."""

from __future__ import annotations

from monitor.store.database import Database
from monitor.store.reading.series import read_cells
from tests.monitor.store.samples import HOUR
from tests.monitor.store.test_service_hours import MIDNIGHT, SAID, TARGETS, judge

EVERY = [(target, *place) for target in TARGETS for place in SAID]


async def test_the_cells_of_the_series_alone_are_read(store: Database) -> None:
    for hour in (0, 5):
        await judge(store, MIDNIGHT + hour * HOUR)
    until = MIDNIGHT + 5 * HOUR
    wanted = EVERY[:2]
    async with store.reading() as connection:
        query = "s.target, s.asn, s.hour, sum(s.n)", "s.target, s.asn, s.hour"
        found = [tuple(r) async for r in read_cells(connection, wanted, MIDNIGHT, until, *query)]
        columns = "s.hour, sum(s.n) AS n", "s.hour"
        hours = [
            (hour, int(n))
            async for hour, n in read_cells(connection, EVERY, MIDNIGHT, until + 1, *columns)
        ]
        nothing = [row async for row in read_cells(connection, [], MIDNIGHT, until, *query)]
    assert sorted(found) == sorted((target, asn, MIDNIGHT, 4) for target, _, asn in wanted)
    assert sorted(hours) == [(MIDNIGHT, 4 * len(EVERY)), (until, 4 * len(EVERY))]
    assert nothing == []
