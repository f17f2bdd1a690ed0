from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from monitor.store import bulk_insert
from monitor.store.batches import batches_of
from monitor.store.database import Database, open_database
from monitor.store.engines import writing
from monitor.store.tables import batch
from tests.monitor.store.arrivals import arrivals
from tests.monitor.store.samples import NOON, admitted, id_of
from tests.world.postgres import PostgreSQL

pytestmark = pytest.mark.needs("postgresql")


def row(number: int, arrival: int) -> bulk_insert.MeasurementRow:
    return (arrival, NOON, NOON, 1, 1, 60_000, arrival - 1, number.to_bytes(16, "big"))


async def test_merge_gives_back_what_was_there(store: Database) -> None:
    one = admitted(1)
    (made,) = batches_of([one])
    words = bulk_insert.dimension_keys([made])
    async with writing(store.engines) as connection:
        numbers = await bulk_insert.dimension_numbers(connection, words)
        assert await bulk_insert.dimension_numbers(connection, words) == numbers
        assert await bulk_insert.insert_new(connection, [], 0) == {}
        assert (
            await bulk_insert.insert_new(connection, [row(n, n + 1) for n in range(1200)], 0) == {}
        )
    async with writing(store.engines) as connection:
        again = [row(n, 2000 + n) for n in range(700, 1300)]
        known = await bulk_insert.insert_new(connection, again, 1200)
    assert known == {row(n, 0)[-1]: (1, n + 1) for n in range(700, 1200)}


async def test_an_undone_batch_leaves_nothing_behind(store: Database) -> None:
    with pytest.raises(RuntimeError):  # noqa: PT012 - the transaction is the block
        async with writing(store.engines) as connection:
            (made,) = batches_of([admitted(1)])
            await bulk_insert.dimension_numbers(connection, bulk_insert.dimension_keys([made]))
            raise RuntimeError
    # Numbers made in a transaction that was undone must not be remembered by the store.
    await store.facts.add([admitted(1)], [])
    assert [target for target, _ in (await store.facts.news(0, 0)).earliest] == ["wechat/messaging"]


async def test_numbers_become_visible_in_order_on_postgresql(postgres_server: PostgreSQL) -> None:
    """Without turns the second collector would commit arrival 2 before the first commits 1,
    and a reader that saw 2 would never look for 1."""
    url = postgres_server.fresh()
    first, second = await open_database(url), await open_database(url)
    await first.facts.add([admitted(1)], [])
    await second.facts.add([admitted(2)], [])
    async with asyncio.TaskGroup() as group, writing(first.engines) as connection:
        await bulk_insert.wait_for_turn(connection)
        last = await bulk_insert.last_arrival(connection)
        (made,) = batches_of([admitted(7)])
        numbers = await bulk_insert.dimension_numbers(
            connection, bulk_insert.dimension_keys([made])
        )
        incoming = bulk_insert.Incoming([made], numbers, last)
        await bulk_insert.insert_new(connection, incoming.rows, last)
        await connection.execute(sa.insert(batch), incoming.batch_rows({}))
        waiting = group.create_task(second.facts.add([admitted(3)], []))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        assert len(await arrivals(second)) == 2
    numbers = await arrivals(second)
    assert numbers == sorted(numbers)
    assert len(numbers) == 4
    async with first.reading() as connection:
        newest = sa.text("SELECT id FROM measurement ORDER BY arrival DESC LIMIT 1")
        assert (await connection.execute(newest)).scalar() == (bytes.fromhex(id_of(admitted(3))))
    await first.close()
    await second.close()
    postgres_server.drop(url)
