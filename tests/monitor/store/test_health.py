"""How the system does, on both databases."""

from __future__ import annotations

from monitor.store import health
from monitor.store.database import Database
from tests.monitor.store.samples import MINUTE, NOON, admitted, concluded, verdict


async def test_an_empty_store(store: Database) -> None:
    async with store.engine.connect() as connection:
        assert await health.arrivals(connection, 0) == []
        assert await health.folded(connection) == []
        assert await health.waiting(connection) == 0
        assert not await health.detecting(connection, NOON)
        assert await health.size(connection) > 4096


async def test_what_arrived_and_how_far_it_is_judged(store: Database) -> None:
    rows = [admitted(n, at=NOON + n * MINUTE) for n in range(5)]
    await store.facts.add(rows, [])
    await store.conclusions.save([concluded(verdicts=(verdict(rows[0]),))], 3)
    assert await store.conclusions.lead("somebody", 20, NOON)
    async with store.engine.connect() as connection:
        found = await health.arrivals(connection, NOON + 2 * MINUTE)
        assert [each.received for each in found] == [NOON + n * MINUTE + 500 for n in (4, 3, 2)]
        assert found[0].started == NOON + 4 * MINUTE + 104
        assert found[0].round == NOON + 4 * MINUTE
        assert found[0].service == "wechat"
        ((service, round),) = await health.folded(connection)
        assert service == "wechat"
        assert round > 0
        assert await health.waiting(connection) == 2
        assert await health.detecting(connection, NOON + 19_000)
        assert not await health.detecting(connection, NOON + 21_000)
