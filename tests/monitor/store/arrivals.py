"""Arrival numbers of what is stored."""

from __future__ import annotations

import sqlalchemy as sa

from monitor.store.database import Database
from monitor.store.tables import measurement


async def arrivals(database: Database) -> list[int]:
    """The arrival number of every stored measurement, in order."""
    async with database.reading() as connection:
        numbers = await connection.execute(
            sa.select(measurement.c.arrival).order_by(measurement.c.arrival)
        )
        return list(numbers.scalars())
