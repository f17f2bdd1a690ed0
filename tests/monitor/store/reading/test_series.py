"""Cells of chosen series, on both databases."""

from __future__ import annotations

import pytest

from monitor.store.database import Database
from monitor.store.reading import series
from monitor.store.reading.series import Grid, read_cells, read_grid
from tests.monitor.store.samples import HOUR
from tests.monitor.store.test_service_hours import MIDNIGHT, SAID, TARGETS, judge

EVERY = [(target, *place) for target in TARGETS for place in SAID]


@pytest.mark.parametrize("at_once", [1, 100])
async def test_the_cells_of_the_series_alone_are_read(
    store: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(series, "SERIES_CHUNK", at_once)
    for hour in (0, 5):
        await judge(store, MIDNIGHT + hour * HOUR)
    until = MIDNIGHT + 5 * HOUR
    wanted = EVERY[:2]
    async with store.reading() as connection:
        query = "s.target, s.asn, s.hour, sum(s.n)", "s.target, s.asn, s.hour"
        found = [tuple(r) async for r in read_cells(connection, wanted, MIDNIGHT, until, *query)]
        sums = "sum(n) FROM counted"
        columns = "s.hour, sum(s.n) AS n", "s.hour"
        parts = [
            int(n)
            async for (n,) in read_cells(connection, EVERY, MIDNIGHT, until + 1, *columns, sums)
        ]
    assert sorted(found) == sorted((target, asn, MIDNIGHT, 4) for target, _, asn in wanted)
    assert sum(parts) == 2 * 4 * len(EVERY)


@pytest.mark.parametrize("at_once", [1, 400])
async def test_every_target_in_every_place_is_read(
    store: Database, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(series, "PLACES_CHUNK", at_once)
    await judge(store, MIDNIGHT)
    grid = Grid(TARGETS, tuple(SAID)[:2])
    query = "s.target, s.asn, sum(s.n)", "s.target, s.asn"
    async with store.reading() as connection:
        found = [
            tuple(row)
            async for row in read_grid(connection, grid, MIDNIGHT, MIDNIGHT + HOUR, *query)
        ]
        empty = Grid((), grid.places)
        nothing = [row async for row in read_grid(connection, empty, 0, MIDNIGHT, *query)]
    assert sorted(found) == sorted((t, asn, 4) for t in TARGETS for _, asn in grid.places)
    assert (nothing, grid.size) == ([], 4)
