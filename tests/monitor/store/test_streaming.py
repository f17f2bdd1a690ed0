"""Everything that passes a filter, in parts, once."""

from __future__ import annotations

from pathlib import Path

from monitor.store.database import open_database
from monitor.store.reading import Filter
from monitor.store.streaming import streamed
from tests.monitor.fleet import admitted, rounds


async def test_parts_hold_everything_once_in_the_order_of_arrival(tmp_path: Path) -> None:
    everything = rounds(range(4))
    database = await open_database(f"sqlite+aiosqlite:///{tmp_path}/store.sqlite")
    try:
        await database.facts.add(admitted(everything), ())
        found = []
        async for part in streamed(database.engines, Filter(), part=3):
            assert 0 < len(part) <= 3
            found += part
        assert sorted(each.measurement.id for each in found) == sorted(
            each.measurement.id for each in everything
        )
        assert {each.role for each in found} == {each.role for each in everything}
        nothing = [part async for part in streamed(database.engines, Filter(service="none"))]
        assert nothing == []
    finally:
        await database.close()
