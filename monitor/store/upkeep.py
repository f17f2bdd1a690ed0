# SPDX-License-Identifier: Apache-2.0
"""`reachwatch db prune|size`: maintenance of a store.

Pruning deletes whole measurements with their verdicts, but never an event, a cell, a journal
entry, or a measurement that an event names as a witness: an event keeps its evidence.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import statements
from monitor.store.conclusions import PRUNED, event_from
from monitor.store.engines import Engines, connect, reading, writing
from monitor.store.schema import upgrade_schema
from monitor.store.tables import cursor, event, measurement, metadata, target, verdict

BATCH = 5_000
"""Measurements deleted in one transaction: some 100 ms, so that collectors hardly wait."""
_set_cursor = statements.upsert(cursor)
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


class Pruned(msgspec.Struct, frozen=True):
    """The outcome of one `prune`."""

    measurements: int
    witnesses_kept: int
    """Old measurements that stay because an event names them."""


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


async def prune(url: str, before_ms: int) -> Pruned:
    """Delete measurements of rounds before a time. May run beside everything else.

    On SQLite the file does not shrink; its free pages are reused. Raises as `open_database` does.
    """
    engines = connect(url)
    try:
        await upgrade_schema(engines)
        async with writing(engines) as connection:
            mark = max(before_ms, await statements.cursor_value(connection, PRUNED))
            await connection.execute(_set_cursor, {"name": PRUNED, "value": mark})
        async with reading(engines) as connection:
            targets = (await connection.execute(sa.select(target.c.number))).scalars().all()
        gone = kept = 0
        for number in targets:
            first: int | None = 0
            while first is not None:
                went, stayed, first = await _batch(engines, number, first, before_ms)
                gone, kept = gone + went, kept + stayed
        return Pruned(gone, kept)
    finally:
        await engines.close()


async def _batch(
    engines: Engines, number: int, first: int, before: int
) -> tuple[int, int, int | None]:
    """Delete some thousand old measurements of a target from a round on; return (deleted, kept,
    round to continue from or None). Whole rounds, so that the index is read once."""
    old = (
        measurement.c.target == number,
        measurement.c.round >= first,
        measurement.c.round < before,
    )
    full = sa.select(measurement.c.round).where(*old).order_by(measurement.c.round)
    async with writing(engines) as connection:
        # In every batch: the detector may have named another witness meanwhile.
        bodies = (await connection.execute(sa.select(event.c.body))).scalars()
        witnesses = {id for body in bodies for id in event_from(bytes(body)).witnesses}
        last = (await connection.execute(full.limit(1).offset(BATCH - 1))).scalar()
        until = before if last is None else last + 1
        query = sa.select(measurement.c.id).where(*old, measurement.c.round < until)
        found = (await connection.execute(query)).scalars().all()
        gone = [id for id in found if id not in witnesses]
        for chunk in statements.chunks(gone):
            await connection.execute(sa.delete(verdict).where(verdict.c.measurement.in_(chunk)))
            await connection.execute(sa.delete(measurement).where(measurement.c.id.in_(chunk)))
    return len(gone), len(found) - len(gone), None if last is None else until
