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
from monitor.store.tables import batch, cursor, event, measurement, metadata, target, verdict

BATCHES = 64
"""How many are deleted in one transaction: some 100 ms, so that collectors hardly wait."""
_batches = batch.alias("batches")
_NEWEST_BATCH = sa.select(sa.func.max(_batches.c.first_arrival)).scalar_subquery()
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

    A batch is deleted with its last measurement. On SQLite the file does not shrink; its free pages
    are reused. Raises as `open_database` does.
    """
    engines = connect(url)
    try:
        await upgrade_schema(engines)
        async with writing(engines) as connection:
            mark = max(before_ms, await statements.cursor_value(connection, PRUNED))
            await connection.execute(_set_cursor, {"name": PRUNED, "value": mark})
        gone = kept = 0
        after: int | None = 0
        while after is not None:
            went, stayed, after = await _prune_batches(engines, after, before_ms)
            gone, kept = gone + went, kept + stayed
        async with writing(engines) as connection:
            await _prune_verdicts(connection, before_ms)
        return Pruned(gone, kept)
    finally:
        await engines.close()


async def _prune_batches(engines: Engines, after: int, before: int) -> tuple[int, int, int | None]:
    """Delete old measurements of some batches after an arrival number; return (deleted, kept,
    arrival number to continue after or None). Measurements of a batch are neighbours, so that a
    range is deleted and nothing is looked for."""
    query = (
        sa.select(batch.c.first_arrival, batch.c.last_arrival)
        .where(batch.c.first_round < before, batch.c.first_arrival > after)
        .order_by(batch.c.first_arrival)
        .limit(BATCHES)
    )
    async with writing(engines) as connection:
        found = (await connection.execute(query)).all()
        if not found:
            return 0, 0, None
        first, last = found[0].first_arrival, found[-1].last_arrival
        old = (measurement.c.arrival.between(first, last), measurement.c.round < before)
        kept = await _witnesses(connection, *old)
        gone = sa.delete(measurement).where(*old, measurement.c.arrival.not_in(kept))
        deleted = (await connection.execute(gone)).rowcount
        await connection.execute(
            sa.delete(batch).where(
                batch.c.first_arrival.between(first, last),
                batch.c.first_round < before,
                batch.c.first_arrival != _NEWEST_BATCH,
                ~sa.exists().where(
                    measurement.c.arrival.between(batch.c.first_arrival, batch.c.last_arrival)
                ),
            )
        )
    return deleted, len(kept), found[-1].first_arrival


async def _witnesses(connection: AsyncConnection, *old: sa.ColumnElement[bool]) -> list[int]:
    """Arrival numbers of those measurements that events name. Asked in every transaction: the
    detector may have named another one meanwhile."""
    bodies = (await connection.execute(sa.select(event.c.body))).scalars()
    witnesses = sorted({id for body in bodies for id in event_from(bytes(body)).witnesses})
    found: list[int] = []
    for some in statements.chunks(witnesses):
        query = sa.select(measurement.c.arrival).where(measurement.c.id.in_(some), *old)
        found += (await connection.execute(query)).scalars()
    return found


async def _prune_verdicts(connection: AsyncConnection, before: int) -> None:
    """Delete old verdicts, but those of rounds of which a measurement was kept."""
    m = measurement.c
    kept = sa.select(target.c.service, m.round).where(
        target.c.number == m.target, m.target.in_(sa.select(target.c.number)), m.round < before
    )
    key = sa.tuple_(verdict.c.service, verdict.c.round)
    await connection.execute(sa.delete(verdict).where(verdict.c.round < before, key.not_in(kept)))
