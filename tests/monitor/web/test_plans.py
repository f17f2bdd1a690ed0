"""No page and no list of the API reads a large table to its end, whatever SQLite knows of how its
rows are distributed: the store of this test was never analysed."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.store.sqlite_engine import DriverConnection
from tests.monitor.store.reading.test_plans import reads_everything
from tests.monitor.web.browsing import OTHERS, PAGES
from tests.world import site as world
from tests.world.site import Client

EVENT = f"/e/{world.CONFIRMED}"
ADDRESSES = (
    *PAGES.values(),
    *(path for path in OTHERS.values() if "nothing-here" not in path),
    *(f"/explore?service=wechat&by={by}&per=time" for by in ("function", "technique", "rule")),
    "/explore?country=RU&per=network",
    f"{EVENT}?range=90d",
    f"/m?event={world.CONFIRMED}",
    "/m?country=RU&counted=no",
    "/m?technique=tls.reset.sni",
    "/c/RU?range=24h",
    "/as/64501?range=1y",
    "/picture.svg?service=wechat&range=30d",
    "/feed.atom",
    "/metrics",
    *(f"/api/v1/{name}" for name in ("events", "services", "vantages", "measurements", "timeline")),
    "/api/v1/measurements?target=wechat/web&until=2027-01-15",
    f"{EVENT}/measurements.csv",
)


async def test_no_page_reads_a_large_table_to_its_end(
    web: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    bad: list[str] = []
    execute = DriverConnection.execute_whole

    async def noted(reader: DriverConnection, many: bool, statement: str, values: Any) -> Any:
        if statement.startswith(("SELECT", "WITH")) and reader.at_once and statement not in asked:
            asked.add(statement)
            rows = reader._conn.execute(f"EXPLAIN QUERY PLAN {statement}", values)
            plan = [str(row[-1]) for row in rows]
            ordered = "LIMIT" in statement and not any("TEMP B-TREE" in line for line in plan)
            if any(reads_everything("sqlite", line, ordered) for line in plan):
                bad.append("\n".join([statement, *plan]))
        return await execute(reader, many, statement, values)

    monkeypatch.setattr(DriverConnection, "execute_whole", noted)
    for path in ADDRESSES:
        assert (await web.get(path)).status in (200, 404), path
    assert len(asked) > 50
    assert not bad, "\n\n".join(bad)
