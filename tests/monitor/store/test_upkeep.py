from __future__ import annotations

from monitor.store import upkeep
from monitor.store.database import Database
from tests.monitor.store.samples import admitted


async def test_size_counts_rows_and_bytes(store: Database, url: str) -> None:
    await store.facts.add([admitted(n) for n in range(300)], [])
    sizes = {each.table: each for each in await upkeep.size(url)}
    assert sizes["measurement"].rows == 300
    assert sizes["event"].rows == 0
    weight = sizes["measurement"].bytes
    # None only where this build of SQLite has no dbstat.
    assert weight is None or 300 * 100 < weight < 300 * 1500
