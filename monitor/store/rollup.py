# SPDX-License-Identifier: Apache-2.0
"""Old hourly cells become daily ones: a twenty-fourth of the rows for what is shown by day.

Only days whose measurements were dropped are summed up, because only their cells are never counted
again. A day is one transaction, so that a page sees its hours or the day.
"""

from __future__ import annotations

import sqlalchemy as sa

from monitor.store import cell_sums, statements
from monitor.store.days import DAY_MS, PRUNED
from monitor.store.engines import Engines, writing
from monitor.store.tables import cell, cursor

ROLLED = "rolled"
"""Name in `cursor`: hours before this are summed up."""
_SUM = sa.text(
    "INSERT INTO cell (hour, target, country, asn, state, rule, layer, technique, n, vantages, "
    "all_vantages, hours) SELECT CAST(:day AS BIGINT), target, country, asn, state, rule, "
    "min(layer), min(technique), sum(n), max(vantages), max(all_vantages), 24 FROM cell "
    "WHERE hour >= :day AND hour < :next GROUP BY target, country, asn, state, rule "
    # The first hour of the day has the key of the day.
    "ON CONFLICT (hour, target, country, asn, state, rule) DO UPDATE SET layer = excluded.layer, "
    "technique = excluded.technique, n = excluded.n, vantages = excluded.vantages, "
    "all_vantages = excluded.all_vantages, hours = excluded.hours"
)
_FORGET = sa.text("DELETE FROM cell WHERE hour > :day AND hour < :next")
_set_cursor = statements.upsert(cursor)


async def roll_up(engines: Engines, before_ms: int) -> int:
    """Sum up the hours of the days that ended before a time; return how many days. Raises
    StoreUnavailableError."""
    days = 0
    while True:
        async with writing(engines) as connection:
            rolled = await statements.cursor_value(connection, ROLLED)
            pruned = await statements.cursor_value(connection, PRUNED)
            oldest = sa.select(sa.func.min(cell.c.hour)).where(cell.c.hour >= rolled)
            first = await connection.scalar(oldest)
            end = min(before_ms, pruned)
            if first is None or (day := first - first % DAY_MS) + DAY_MS > end:
                return days
            period = {"day": day, "next": day + DAY_MS}
            await connection.execute(_SUM, period)
            await connection.execute(_FORGET, period)
            await cell_sums.roll_up(connection, day)
            await connection.execute(_set_cursor, {"name": ROLLED, "value": day + DAY_MS})
        days += 1
