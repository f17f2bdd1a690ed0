from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from msgspec import structs

from monitor.store import partitions
from monitor.store.database import Database, open_database
from monitor.store.days import DAY_MS, day_of
from monitor.store.engines import writing
from monitor.store.reading.vantages import clock_readings
from monitor.store.records import Added
from monitor.store.retention import prune
from tests.monitor.store.samples import NOON, admitted, id_of
from tests.world.postgres import PostgreSQL

TODAY = day_of(NOON)


@pytest.mark.needs("postgresql")
async def test_a_day_has_a_partition_on_postgresql(postgres_server: PostgreSQL) -> None:
    # Other tests leave partitions without measurements in the database that they share.
    url = postgres_server.fresh()
    store = await open_database(url, now=lambda: 77)
    # Imported, years old: no partition of its own.
    ancient = structs.replace(admitted(1, at=NOON - 2000 * DAY_MS), received=NOON)
    await store.facts.add([ancient], [])
    await store.facts.add([admitted(2), admitted(3, at=NOON - DAY_MS)], [])
    async with store.reading() as connection:
        days = await partitions.present_days(connection)
        assert {TODAY - 1, TODAY, TODAY + 1} <= set(days)
        assert TODAY - 2000 not in days
    await prune(url, NOON)
    async with store.reading() as connection:
        days = await partitions.present_days(connection)
        assert min(days) == TODAY
    left = await store.facts.facts(0, 2**60)
    assert [one.measurement.id for one in left] == [id_of(admitted(2))]
    await store.close()
    postgres_server.drop(url)


async def test_a_reader_delays_a_partition_and_no_measurement(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if store.engines.sqlite:
        return
    monkeypatch.setattr(partitions, "LOCK", "100ms")
    async with writing(store.engines) as reader:
        await reader.execute(sa.text("SELECT 1 FROM measurement LIMIT 1"))
        assert await store.facts.add([admitted(n) for n in range(4)], []) == Added(4, 0, 0)
    monkeypatch.setattr(partitions, "AGAIN_SECONDS", 0.0)
    store.facts._partitions._not_before = 0.0
    assert await store.facts.add([admitted(n) for n in range(6)], []) == Added(2, 4, 0)
    assert len(await store.facts.facts(0, 2**60)) == 6


async def test_clocks_are_read_in_the_days_of_their_rounds(store: Database) -> None:
    """A web server reads them when it starts, and a store has hundreds of days."""
    if store.engines.sqlite:
        return
    target = "liveness/international"
    days = [admitted(n, at=NOON - n * DAY_MS, target=target) for n in range(3)]
    for one in days:
        await store.facts.add([one], [])
    asked: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        asked.append((statement, parameters))

    async with store.reading() as connection:
        sa.event.listen(connection.sync_connection, "before_cursor_execute", note)
        found = await clock_readings(connection, NOON)
        assert [each.measurement for each in found.values()] == [id_of(days[0])]
        plans, statements = list[str](), list(asked)
        for statement, parameters in statements:
            rows = await connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            plans += [str(row[-1]) for row in rows]
    for table in partitions.KEYS:
        today, before = (partitions.name_of(table, TODAY - n) for n in (0, 1))
        assert any(today in line for line in plans), plans
        assert not any(before in line for line in plans), plans
