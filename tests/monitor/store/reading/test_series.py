"""Cells of chosen series, on both databases."""

from __future__ import annotations

import pytest

from monitor.store.database import Database
from monitor.store.reading.series import Grid, read_cells, read_grid
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


async def test_every_target_in_every_place_is_read(store: Database) -> None:
    await judge(store, MIDNIGHT)
    grid = Grid(TARGETS, tuple(SAID)[:2])
    query = "s.target, s.asn, sum(s.n) AS n", "s.target, s.asn"
    async with store.reading() as connection:
        found = [
            tuple(row)
            async for row in read_grid(connection, grid, MIDNIGHT, MIDNIGHT + HOUR, *query)
        ]
        sums = "asn, sum(n * :times) FROM counted GROUP BY asn"
        added = [
            (asn, int(n))
            async for asn, n in read_grid(
                connection, grid, MIDNIGHT, MIDNIGHT + HOUR, *query, sums, {"times": 3}
            )
        ]
        empty = Grid((), grid.places)
        nothing = [row async for row in read_grid(connection, empty, 0, MIDNIGHT, *query)]
    assert sorted(found) == sorted((t, asn, 4) for t in TARGETS for _, asn in grid.places)
    assert sorted(added) == sorted((asn, 3 * 4 * len(TARGETS)) for _, asn in grid.places)
    assert (nothing, grid.size) == ([], 4)


@pytest.mark.parametrize("hours", [2, 200], ids=["by hour", "by series"])
async def test_cells_of_every_network_are_those_of_each(store: Database, hours: int) -> None:
    for hour in (0, 1, 2, 30):
        await judge(store, MIDNIGHT + hour * HOUR)
    places = tuple(SAID)
    assert 2 < len(places) < 200
    query = "s.hour, s.target, s.country, s.asn, s.state, sum(s.n)", "1, 2, 3, 4, 5"
    async with store.reading() as connection:
        found = {
            everywhere: sorted(
                [
                    tuple(row)
                    async for row in read_grid(
                        connection,
                        Grid(TARGETS[:1], places, everywhere),
                        MIDNIGHT - HOUR // 2,
                        MIDNIGHT - HOUR // 2 + hours * HOUR,
                        *query,
                    )
                ]
            )
            for everywhere in (False, True)
        }
    assert found[True] == found[False]
    assert {row[0] for row in found[True]} == {
        MIDNIGHT + hour * HOUR for hour in (0, 1, 2, 30) if hour < hours
    }
