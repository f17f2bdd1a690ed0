from __future__ import annotations

import re
import warnings

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from monitor.store.database import Database
from monitor.store.tables import HexId, metadata


async def test_migrations_make_exactly_these_tables(store: Database) -> None:
    def mine(name: str | None, kind: str, _parents: object) -> bool:
        """Whether the metadata can say it: neither partitions nor their key can be said for both
        databases."""
        partition = re.fullmatch(r"(batch|measurement)_(default|\d{8})", name or "")
        keys = ("ix_batch_first_arrival", "ix_measurement_arrival")
        return not (partition if kind == "table" else name in keys)

    def differences(connection: sa.Connection) -> list[object]:
        options = {"compare_type": True, "include_name": mine}
        context = MigrationContext.configure(connection, opts=options)
        with warnings.catch_warnings():  # the index on (day, id), which is an expression
            warnings.filterwarnings("ignore", "Skipped unsupported reflection of expression-based")
            return list(compare_metadata(context, metadata))

    async with store.reading() as connection:
        assert await connection.run_sync(differences) == []


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
