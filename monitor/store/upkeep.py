# SPDX-License-Identifier: Apache-2.0
"""`reachwatch db size`: what the store takes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.engines import connect, reading
from monitor.store.schema import upgrade_schema
from monitor.store.tables import metadata

_SQLITE_BYTES = sa.text(
    "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_schema s ON s.name = d.name "
    "GROUP BY s.tbl_name"
)
_POSTGRES_BYTES = sa.text(
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class "
    "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
)


class TableSize(msgspec.Struct, frozen=True):
    """Rows and bytes, indexes included, of one table."""

    table: str
    rows: int
    bytes: int | None
    """None where this build of SQLite has no `dbstat`."""


async def size(url: str) -> Sequence[TableSize]:
    """Rows and bytes of every table, largest first. Raises as `open_database` does."""
    engines = connect(url)
    try:
        await upgrade_schema(engines)
        async with reading(engines) as connection:
            sizes = await _bytes(connection)
            counted = []
            for table in metadata.sorted_tables:
                count = await connection.execute(sa.select(sa.func.count()).select_from(table))
                counted.append(TableSize(table.name, count.scalar_one(), sizes.get(table.name)))
    finally:
        await engines.close()
    return sorted(counted, key=lambda each: (-(each.bytes or 0), -each.rows, each.table))


async def _bytes(connection: AsyncConnection) -> dict[str, int]:
    if connection.dialect.name != "sqlite":
        return {row[0]: row[1] for row in await connection.execute(_POSTGRES_BYTES)}
    try:
        return {row[0]: row[1] for row in await connection.execute(_SQLITE_BYTES)}
    except sa.exc.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return {}
