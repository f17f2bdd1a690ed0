from __future__ import annotations

import sqlalchemy as sa

from monitor.detection.model import State
from monitor.store.database import Database
from monitor.store.days import DAY_MS
from monitor.store.reading.counts import count_series, count_states, count_vantages
from monitor.store.reading.timeline import timeline
from monitor.store.retention import prune
from monitor.store.rollup import roll_up
from monitor.store.tables import cell
from tests.monitor.store.samples import HOUR, NOON, TARGETS, admitted, concluded, verdict

MIDNIGHT = NOON - 12 * HOUR


async def test_hours_become_days_with_the_same_sums(store: Database, url: str) -> None:
    """Two days of 24 hours; one vantage is blocked all the time, a second one measures in some
    hours only."""
    rows = [
        (admitted(100 * hour + probe, probe=probe, at=MIDNIGHT + hour * HOUR), probe)
        for hour in range(48)
        for probe in (1, 2)
        if probe == 1 or hour % 5 == 0
    ]
    await store.facts.add([row for row, _ in rows], [])
    said = tuple(verdict(row, State.BLOCKED if p == 1 else State.OK, f"r.{p}") for row, p in rows)
    await store.conclusions.save([concluded(facts=said)], 1)
    tomorrow = MIDNIGHT + DAY_MS

    async def shown() -> list[object]:
        series = [("wechat/messaging", "RU", 64501)]
        async with store.reading() as connection:
            return [
                await count_states(connection, TARGETS, MIDNIGHT, tomorrow + DAY_MS, DAY_MS),
                sorted(
                    (each.begin, each.state)
                    for each in await count_series(
                        connection, series, MIDNIGHT, tomorrow + DAY_MS, DAY_MS
                    )
                ).__len__()
                > 0,
                await count_vantages(connection, TARGETS, MIDNIGHT, tomorrow + DAY_MS, DAY_MS),
            ]

    before = await shown()
    # Not before the measurements are dropped: their cells may be counted again.
    assert await roll_up(store.engines, tomorrow) == 0
    assert (await prune(url, tomorrow, hours_before_ms=tomorrow)).days_summed_up == 1
    assert await roll_up(store.engines, tomorrow + DAY_MS) == 0
    assert await shown() == before
    async with store.reading() as connection:
        query = sa.select(cell.c.hour, cell.c.rule, cell.c.n, cell.c.all_vantages, cell.c.hours)
        old = (await connection.execute(query.where(cell.c.hour < tomorrow))).all()
        assert sorted(map(tuple, old)) == [
            (MIDNIGHT, "r.1", 24, 2, 24),
            (MIDNIGHT, "r.2", 5, 2, 24),
        ]
        young = (await connection.execute(query.where(cell.c.hour >= tomorrow))).all()
        assert {row.hours for row in young} == {1}
        entries = await timeline(connection, limit=3)
        assert [(each.hour, each.hours, each.n) for each in entries] == [
            (MIDNIGHT, 24, 24),
            (MIDNIGHT, 24, 5),
            (tomorrow, 1, 1),
        ]
