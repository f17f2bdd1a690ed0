"""What is altered in a store, found by day."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from monitor.store.database import Database
from monitor.store.days import DAY_MS, day_of
from monitor.store.reading.arrival_chain import Integrity, check_chain, list_chain
from monitor.store.retention import prune
from monitor.store.tables import batch
from tests.monitor.store.conftest import postgres_server, postgres_url, sqlite_url, store, url
from tests.monitor.store.samples import NOON, admitted

__all__ = ["postgres_server", "postgres_url", "sqlite_url", "store", "url"]

TODAY = day_of(NOON)
DAYS = 4


async def filled(store: Database) -> None:
    """Three batches on each of some days."""
    for day in range(DAYS):
        for number in range(3):
            at = NOON + day * DAY_MS + number * 60_000
            await store.facts.add([admitted(10 * day + number, at=at)], [])


async def integrities(store: Database, since_day: int = 0) -> dict[int, Integrity]:
    async with store.reading() as connection:
        parts = await check_chain(connection, since_day)
    return {each.part.day - TODAY: each.integrity for each in parts}


ALL = dict.fromkeys(range(DAYS), Integrity.UNALTERED)


async def test_what_arrived_is_there(store: Database) -> None:
    await filled(store)
    assert await integrities(store) == ALL
    assert await integrities(store, TODAY + 2) == {2: Integrity.UNALTERED, 3: Integrity.UNALTERED}


@pytest.mark.parametrize(
    ("statement", "integrity"),
    [
        ("UPDATE batch SET body = :flipped WHERE first_arrival = 5", Integrity.ALTERED),
        ("UPDATE batch SET received = received + 1 WHERE first_arrival = 5", Integrity.ALTERED),
        ("DELETE FROM batch WHERE first_arrival = 5", Integrity.MISSING),
        (
            "INSERT INTO batch (first_arrival, last_arrival, first_round, received, body, vantage) "
            "SELECT 6000000, 6000000, first_round, received, :flipped, vantage FROM batch "
            "WHERE first_arrival = 11",
            Integrity.ADDED,
        ),
    ],
)
async def test_the_day_that_was_altered_is_named(
    store: Database, statement: str, integrity: Integrity
) -> None:
    await filled(store)
    async with store.reading() as connection:
        query = sa.select(batch.c.body).where(batch.c.first_arrival == 5)
        body = bytearray((await connection.execute(query)).scalar_one())
    body[len(body) // 2] ^= 1
    values = {"flipped": bytes(body)} if ":flipped" in statement else {}
    async with store.engines.write.begin() as writer:
        changed = await writer.execute(sa.text(statement), values)
    assert changed.rowcount == 1
    day = 3 if integrity is Integrity.ADDED else 1
    assert await integrities(store) == {**ALL, day: integrity}


async def test_a_day_that_was_dropped_is_not_checked_and_stays_in_the_chain(
    store: Database, url: str
) -> None:
    await filled(store)
    async with store.reading() as connection:
        before = await list_chain(connection)
    await prune(url, NOON + 2 * DAY_MS)
    dropped = {0: Integrity.PRUNED, 1: Integrity.PRUNED}
    assert await integrities(store) == {**ALL, **dropped}
    async with store.reading() as connection:
        assert await list_chain(connection) == before
