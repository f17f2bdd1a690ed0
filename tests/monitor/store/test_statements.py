from __future__ import annotations

import pytest

from monitor.store import statements
from monitor.store.database import Database
from monitor.store.engines import reading, writing
from monitor.store.tables import cursor, lease


@pytest.mark.parametrize("length", [0, 1, 499, 500, 501, 1200])
def test_chunks_are_all_of_it_in_order(length: int) -> None:
    values = list(range(length))
    pieces = list(statements.chunks(values))
    assert [each for piece in pieces for each in piece] == values
    assert all(0 < len(piece) <= statements.CHUNK for piece in pieces)


async def test_upsert_replaces_the_row_with_the_same_key(store: Database) -> None:
    rows = [{"name": "a", "holder": "one", "expires": 1}, {"name": "b", "holder": "", "expires": 2}]
    async with writing(store.engines) as connection:
        await connection.execute(statements.upsert(lease), rows)
        await connection.execute(statements.upsert(lease), [rows[0] | {"holder": "two"}])
        found = (await connection.execute(lease.select().order_by(lease.c.name))).all()
    assert [tuple(row) for row in found] == [("a", "two", 1), ("b", "", 2)]


async def test_a_value_never_set_is_zero(store: Database) -> None:
    async with writing(store.engines) as connection:
        await connection.execute(statements.upsert(cursor), {"name": "there", "value": 2**40})
    async with reading(store.engines) as connection:
        assert await statements.cursor_value(connection, "there") == 2**40
        assert await statements.cursor_value(connection, "not there") == 0
