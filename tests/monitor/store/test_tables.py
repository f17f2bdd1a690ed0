from __future__ import annotations

import sqlalchemy as sa

from monitor.store.database import Database
from monitor.store.tables import HexId


async def test_autoincrement_numbers_are_never_used_again_on_sqlite(store: Database) -> None:
    if store.engines.read.dialect.name != "sqlite":
        return
    async with store.reading() as connection:
        query = sa.text("SELECT name FROM sqlite_schema WHERE sql LIKE '%AUTOINCREMENT%'")
        names = set((await connection.execute(query)).scalars())
    assert names == {"quarantine", "journal", "event_note"}


def test_hex_ids_are_half_as_long_in_the_database() -> None:
    kind = HexId()
    stored = kind.process_bind_param("ab" * 16, None)
    assert stored == b"\xab" * 16
    assert kind.process_result_value(stored, None) == "ab" * 16
    assert kind.process_bind_param(None, None) is None
    assert kind.process_result_value(None, None) is None
