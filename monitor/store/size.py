# SPDX-License-Identifier: Apache-2.0
"""`reachwatch db size`: what the store takes, and what it will take."""

from __future__ import annotations

import re
from collections import Counter

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.engines import connect, reading
from monitor.store.reading.days import list_days
from monitor.store.reading.progress import store_bytes
from monitor.store.schema import upgrade_schema
from monitor.store.tables import batch, measurement, metadata, verdict

DROPPED = tuple(table.name for table in (batch, measurement, verdict))
"""Tables that are as large as the days that are kept; the others grow for ever, or not at all."""
RECENT_DAYS = 7
"""Days of which the growth is taken."""
_SQLITE_BYTES = sa.text(
    "SELECT s.tbl_name, sum(d.pgsize) FROM dbstat d JOIN sqlite_schema s ON s.name = d.name "
    "GROUP BY s.tbl_name"
)
_POSTGRES_BYTES = sa.text(
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class "
    "WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace"
)
_PARTITION = re.compile(r"(batch|measurement)_(default|[0-9]{8})")


class TableSize(msgspec.Struct, frozen=True):
    """Rows and bytes, indexes included, of one table."""

    table: str
    rows: int
    bytes: int | None
    """None where this build of SQLite has no `dbstat`."""


class StoreSize(msgspec.Struct, frozen=True):
    """What a store takes."""

    tables: tuple[TableSize, ...]
    """Largest first."""
    bytes: int
    """Of the whole store."""
    free: int
    """Of these, pages of an SQLite file that nothing is in."""
    days: tuple[tuple[int, int], ...]
    """(day, measurements), oldest first."""


class Forecast(msgspec.Struct, frozen=True):
    """What is to be expected when a fleet goes on as in the last days."""

    days: int
    """Days that were counted."""
    per_day: int
    """Measurements a day."""
    bytes_each: float
    """Bytes a measurement, with everything that is written for it."""
    kept_each: float
    """Of these, what stays when the measurement is dropped: counts, events."""
    steady: int
    """Bytes of the store when as many days are there as are kept."""
    steady_after_a_year: int
    unpruned: int
    """Bytes after a year in which nothing is dropped."""


async def size(url: str) -> StoreSize:
    """Rows and bytes of every table. Raises as `open_database` does."""
    async with connect(url) as engines:
        await upgrade_schema(engines)
        async with reading(engines) as connection:
            sizes = await _bytes(connection)
            days = tuple(await list_days(connection))
            # Counted already: counting them takes minutes.
            rows = {measurement.name: sum(n for _, n in days)}
            for table in metadata.sorted_tables:
                if table.name not in rows:
                    count = sa.select(sa.func.count()).select_from(table)
                    rows[table.name] = await connection.scalar(count) or 0
            counted = [TableSize(name, n, sizes.get(name)) for name, n in rows.items()]
            whole = await store_bytes(connection)
            free = 0
            if engines.sqlite:
                share = "freelist_count * 1.0 / page_count"
                query = f"SELECT {share} FROM pragma_freelist_count, pragma_page_count"
                free = round(whole * (await connection.scalar(sa.text(query)) or 0))
    ordered = sorted(counted, key=lambda each: (-(each.bytes or 0), -each.rows, each.table))
    return StoreSize(tuple(ordered), whole, free, days)


def forecast(found: StoreSize, retention_days: int) -> Forecast | None:
    """What the store will take when measurements are kept for some days; None while no day is over.
    The newest day is taken not to be over."""
    newest = found.days[-1][0] if found.days else 0
    recent = [n for day, n in found.days if newest - RECENT_DAYS <= day < newest]
    measurements = sum(n for _, n in found.days)
    if not recent or not measurements:
        return None
    per_day = sum(recent) / (newest - max(newest - RECENT_DAYS, found.days[0][0]))
    going = sum(each.bytes or 0 for each in found.tables if each.table in DROPPED)
    used = found.bytes - found.free
    if not going:  # no table says its size
        going = used
    each = used / measurements
    kept = max(0, used - going) / measurements
    steady = per_day * retention_days * each
    return Forecast(
        days=min(RECENT_DAYS, newest - found.days[0][0]),
        per_day=round(per_day),
        bytes_each=each,
        kept_each=kept,
        steady=round(steady),
        steady_after_a_year=round(steady + per_day * max(0, 365 - retention_days) * kept),
        unpruned=round(used + per_day * 365 * each),
    )


async def _bytes(connection: AsyncConnection) -> dict[str, int]:
    if connection.dialect.name != "sqlite":
        sizes: Counter[str] = Counter()
        for name, taken in await connection.execute(_POSTGRES_BYTES):
            partition = _PARTITION.fullmatch(name)
            sizes[partition[1] if partition else name] += taken
        return dict(sizes)
    try:
        return {row[0]: row[1] for row in await connection.execute(_SQLITE_BYTES)}
    except sa.exc.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return {}
