# SPDX-License-Identifier: Apache-2.0
"""`reachwatch db move`: everything from one database to another, all or nothing.

The destination is written in one transaction: it has everything or stays empty. The source is
locked against writers meanwhile, and is not changed. Stop the collectors and the detector
first and give them the new URL afterwards: what is written to the old database later is not
copied.
"""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import partitions
from monitor.store.engines import StoreRefusedError, connect, writing
from monitor.store.schema import upgrade_schema
from monitor.store.tables import batch, metadata, stored_day

BATCH = 2_000
BATCH_OF_BATCHES = 200
"""They are some 40 kB each."""


def _ignore(_table: str, _rows: int) -> None: ...


async def move(
    source: str, destination: str, progress: Callable[[str, int], None] = _ignore
) -> dict[str, int]:
    """Copy every row; return how many there were in each table.

    `progress` gets the table and the rows copied so far. Raises StoreRefusedError when the
    destination is not empty or is the source, else StoreUnavailableError.
    """
    async with connect(source) as here, connect(destination) as there:
        if here.write.url == there.write.url:
            raise StoreRefusedError(f"{there.place}: is the source, not another database")
        await upgrade_schema(here)
        await upgrade_schema(there)
        async with writing(here) as old, writing(there) as new:
            if not here.sqlite:
                names = ", ".join(metadata.tables)
                await old.execute(sa.text(f"LOCK TABLE {names} IN SHARE MODE"))
            if not there.sqlite:
                days = (await old.execute(sa.select(stored_day.c.day))).scalars().all()
                oldest = max(days, default=0) - partitions.MOST_DAYS
                await partitions.make(new, [day for day in days if day >= oldest])
            copied = {}
            for table in metadata.sorted_tables:
                if (await new.execute(sa.select(sa.literal(1)).select_from(table))).first():
                    raise StoreRefusedError(f"{there.place}: table {table.name} is not empty")
                copied[table.name] = await _copy(table, old, new, progress)
            for table in metadata.sorted_tables:
                if table.autoincrement_column is not None:
                    await _continue(table, await _last_number(table, old), new)
            return copied


async def _copy(
    table: sa.Table,
    old: AsyncConnection,
    new: AsyncConnection,
    progress: Callable[[str, int], None],
) -> int:
    key = sa.tuple_(*table.primary_key.columns)
    most = BATCH_OF_BATCHES if table is batch else BATCH
    query = sa.select(table).order_by(*table.primary_key.columns).limit(most)
    count = 0
    rows = (await old.execute(query)).all()
    while rows:
        await new.execute(sa.insert(table), [dict(row._mapping) for row in rows])
        count += len(rows)
        progress(table.name, count)
        last = [rows[-1]._mapping[column.name] for column in table.primary_key.columns]
        beyond = sa.tuple_(
            *(
                sa.literal(value, column.type)
                for value, column in zip(last, table.primary_key.columns, strict=True)
            )
        )
        rows = (await old.execute(query.where(key > beyond))).all()
    return count


async def _last_number(table: sa.Table, connection: AsyncConnection) -> int:
    """Last number used, even if its row was deleted: a reader of arrivals would miss a number
    that is used twice."""
    column = table.autoincrement_column
    last = (await connection.execute(sa.select(sa.func.coalesce(sa.func.max(column), 0)))).scalar()
    given: int | None = 0
    if connection.dialect.name != "sqlite":
        sequence = await _sequence(table, connection)
        given = (await connection.execute(sa.text(f"SELECT last_value FROM {sequence}"))).scalar()
    elif table.dialect_options["sqlite"]["autoincrement"]:
        query = sa.text("SELECT seq FROM sqlite_sequence WHERE name = :name")
        given = (await connection.execute(query, {"name": table.name})).scalar() or 0
    return max(int(last or 0), int(given or 0))


async def _continue(table: sa.Table, last: int, connection: AsyncConnection) -> None:
    if last == 0:
        return
    if connection.dialect.name != "sqlite":
        sequence = await _sequence(table, connection)
        await connection.execute(sa.text("SELECT setval(:s, :n)"), {"s": sequence, "n": last})
    elif table.dialect_options["sqlite"]["autoincrement"]:
        await connection.execute(
            sa.text("DELETE FROM sqlite_sequence WHERE name = :name"), {"name": table.name}
        )
        await connection.execute(
            sa.text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, :n)"),
            {"name": table.name, "n": last},
        )


async def _sequence(table: sa.Table, connection: AsyncConnection) -> str:
    assert table.autoincrement_column is not None
    query = sa.select(sa.func.pg_get_serial_sequence(table.name, table.autoincrement_column.name))
    return str((await connection.execute(query)).scalar())
