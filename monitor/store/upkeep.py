# SPDX-License-Identifier: Apache-2.0
"""`reachwatch db migrate|prune|size`: what an operator does to a store now and then.

Pruning lets whole measurements go, with their verdicts, and never an event, a cell, a journal
entry, or a measurement that some event names as its witness: an event must show its evidence
for as long as it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import statements
from monitor.store.conclusions import PRUNED, event_from
from monitor.store.database import migrate
from monitor.store.engines import Engines, connect, reading, writing
from monitor.store.schema import bring_up
from monitor.store.tables import cursor, event, measurement, metadata, target, verdict

__all__ = ["Pruned", "TableSize", "migrate", "prune", "size"]

BATCH = 5_000
"""Measurements let go in one transaction: some 100 ms, so that collectors hardly wait."""
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
    """One table: how many rows, how many bytes with its indexes."""

    table: str
    rows: int
    bytes: int | None
    """None where this build of SQLite cannot tell (no `dbstat`)."""


class Pruned(msgspec.Struct, frozen=True):
    """What one pruning did."""

    measurements: int
    witnesses_kept: int
    """Old measurements that stay because an event names them."""


async def size(url: str) -> Sequence[TableSize]:
    """Rows and bytes of every table, largest first. Raises as `open_database` does."""
    engines = connect(url)
    try:
        await bring_up(engines)
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
    """Let measurements of rounds before a time go. May run while everything else does.

    On SQLite the file does not shrink; its free pages are used again. Raises as
    `open_database` does.
    """
    engines = connect(url)
    try:
        await bring_up(engines)
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
    """Let go a target's old measurements from a round on, some thousand: (gone, kept, round to
    go on from, None at the end). Whole rounds, so that the index is walked once."""
    old = (
        measurement.c.target == number,
        measurement.c.round >= first,
        measurement.c.round < before,
    )
    full = sa.select(measurement.c.round).where(*old).order_by(measurement.c.round)
    async with writing(engines) as connection:
        # Anew in every batch: the detector may have named another witness meanwhile.
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
