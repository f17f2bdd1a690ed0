# SPDX-License-Identifier: Apache-2.0
"""The mark of a store that a demonstration filled: whoever serves it later says so. A store that
was measured is never marked, and a mark is never taken away.
"""

from __future__ import annotations

import sqlalchemy as sa

from monitor.store import statements
from monitor.store.database import Database
from monitor.store.engines import StoreRefusedError, writing
from monitor.store.tables import cursor, stored_day

SIMULATED = "simulated"
"""Name in `cursor`: 1 where everything is simulated."""
_set_cursor = statements.upsert(cursor)


async def is_simulated(database: Database) -> bool:
    """Whether the store has the mark. Raises StoreUnavailableError."""
    async with database.reading() as connection:
        return bool(await statements.cursor_value(connection, SIMULATED))


async def mark_simulated(database: Database) -> None:
    """Mark an empty store, before anything is simulated. Raises StoreRefusedError for one that
    holds real measurements, else StoreUnavailableError."""
    async with writing(database.engines) as connection:
        if await statements.cursor_value(connection, SIMULATED):
            return
        if (await connection.execute(sa.select(stored_day.c.day).limit(1))).first() is not None:
            raise StoreRefusedError(
                f"{database.engines.place}: holds real measurements: a demonstration takes none"
            )
        await connection.execute(_set_cursor, {"name": SIMULATED, "value": 1})
