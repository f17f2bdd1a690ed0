# SPDX-License-Identifier: Apache-2.0
"""Rows written into a store with its database's own bulk path, all in one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from typing import Any

import asyncpg

from monitor.store import partitions
from monitor.store.engines import connect, writing

COLUMNS = {
    "vantage": "number probe owner role enrolled country asn source",
    "target": "number id service",
    "probe": "id owner role enrolled country asn last_seen status secret_hash",
    "batch": "first_arrival last_arrival first_round received body vantage",
    "delivered": "probe day spool outcome first last duplicates first_received last_received "
    "least_delay most_delay",
    "measurement": "arrival round started vantage target interval_ms place id",
    "verdict": "service round body",
    "cell": "hour target country asn state rule layer technique n vantages all_vantages",
    "event": "id service country state tier onset opened updated closed body",
    "journal": "at event service country transition",
    "round_evidence": "service country source round decided body",
    "detector_state": "service round",
}


class SQLiteRows:
    """Writes rows into an SQLite store, in one transaction: what is interrupted can be begun
    again."""

    def __init__(self, url: str) -> None:
        self._connection = sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///"))
        self._connection.executescript("PRAGMA synchronous=OFF; PRAGMA cache_size=-400000;")

    async def begin(self, days: Collection[int]) -> None:
        """Prepare for measurements of these days: nothing is to be done."""

    async def add(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Append rows, in the order of `COLUMNS`."""
        names = COLUMNS[table].split()
        marks = ", ".join("?" * len(names))
        self._connection.executemany(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", rows
        )

    async def finish(self, statements: Sequence[str]) -> None:
        """Run the statements that count what was written, and commit."""
        for statement in statements:
            self._connection.execute(statement)
        self._connection.commit()

    async def close(self) -> None:
        """Let the store go; what is not finished is undone."""
        self._connection.close()


class PostgreSQLRows:
    """Writes rows into a PostgreSQL store by COPY, in one transaction as well."""

    def __init__(self, url: str, connection: asyncpg.Connection) -> None:
        self._url, self._connection = url, connection

    async def begin(self, days: Collection[int]) -> None:
        """Prepare for measurements of these days: make their partitions."""
        engines = connect(self._url)
        async with writing(engines) as connection:
            await partitions.make(connection, days)
        await engines.close()

    async def add(self, table: str, rows: Sequence[tuple[Any, ...]]) -> None:
        """Append rows, in the order of `COLUMNS`."""
        await self._connection.copy_records_to_table(
            table, records=rows, columns=COLUMNS[table].split()
        )

    async def finish(self, statements: Sequence[str]) -> None:
        """Run the statements that count what was written, and commit."""
        for statement in statements:
            await self._connection.execute(statement)
        for table in ("vantage", "target"):  # whose numbers were given here
            await self._connection.execute(
                f"SELECT setval(pg_get_serial_sequence('{table}', 'number'), max(number)) "
                f"FROM {table}"
            )
        await self._connection.execute("COMMIT")
        await self._connection.execute("VACUUM")

    async def close(self) -> None:
        """Let the store go; what is not finished is undone."""
        await self._connection.close()
