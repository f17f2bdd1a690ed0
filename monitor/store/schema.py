# SPDX-License-Identifier: Apache-2.0
"""Creates the schema of this code in a new database and upgrades an older one, under a lock.
Whichever command opens an older one first upgrades it, and says so in one line.

Any number of processes may open a new database at once: one creates the schema, the others wait.
A database with a newer schema is refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store.engines import (
    LOCK_SECONDS,
    Engines,
    StoreRefusedError,
    translated_errors,
    writing,
)
from monitor.store.tables import POSTGRESQL, metadata

LOG = logging.getLogger(__name__)
KNOWN = tuple(f"{number:04}" for number in range(1, 13))
"""The revisions under `migrations/versions`, the oldest first."""
HEAD = KNOWN[-1]
SCHEMA_LOCK = 0x5245_4143_4801
"""Key of PostgreSQL's advisory lock around migrations ("REACH", 1)."""
_SCRIPTS = Path(__file__).parent / "migrations"

# Alembic keeps its context in module globals: one migration at a time in this process.
_locks: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
    weakref.WeakKeyDictionary()
)


async def upgrade_schema(engines: Engines) -> bool:
    """Create the schema, or migrate it to HEAD; True when anything was done.

    Raises StoreRefusedError for an unknown schema or foreign tables, else StoreUnavailableError.
    """
    if engines.sqlite:
        await _enable_write_ahead_log(engines)
    turn = _locks.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    async with turn, _migrating(engines) as connection:
        present = await connection.run_sync(_revision, engines.place)
        if present is None:
            await connection.run_sync(_create)
        elif present != HEAD:
            LOG.warning("%s: upgrading schema %s to %s", engines.place, present, HEAD)
            await connection.run_sync(_upgrade)
    return present != HEAD


@contextlib.asynccontextmanager
async def _migrating(engines: Engines) -> AsyncIterator[AsyncConnection]:
    """A transaction in which no other process migrates."""
    async with writing(engines) as connection:
        if not engines.sqlite:
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(SCHEMA_LOCK)))
        yield connection


async def _enable_write_ahead_log(engines: Engines) -> None:
    """Switch the file to write-ahead logging, once in its life.

    SQLite answers `locked` without waiting when two connections switch at the same moment; hence
    the loop.
    """
    deadline = asyncio.get_running_loop().time() + LOCK_SECONDS
    async with translated_errors(engines.place):
        while True:
            try:
                # AUTOCOMMIT: the journal mode cannot change inside a transaction.
                async with engines.write.connect() as connection:
                    raw = (await connection.get_raw_connection()).driver_connection
                    assert raw is not None
                    pages = await (await raw.execute("PRAGMA page_count")).fetchone()
                    # Only a new file takes it; then free pages can be given back (`retention`).
                    first = () if pages[0] else ("auto_vacuum=INCREMENTAL",)
                    for pragma in (*first, "journal_mode=WAL"):
                        cursor = await raw.execute(f"PRAGMA {pragma}")
                        await cursor.close()
                    return
            except (sqlite3.OperationalError, sa.exc.OperationalError) as error:
                if "locked" not in str(error) or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(0.05)


def _revision(connection: sa.Connection, place: str) -> str | None:
    names = set(sa.inspect(connection).get_table_names())
    if "alembic_version" not in names:
        foreign = names if connection.dialect.name == "sqlite" else names & set(metadata.tables)
        if foreign:
            raise StoreRefusedError(f"{place}: contains tables of another program: {min(foreign)}")
        return None
    present = connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()
    if present is not None and present not in KNOWN:
        raise StoreRefusedError(
            f"{place}: schema {present} is unknown to this version (newest known: {HEAD}); "
            "upgrade Reachwatch"
        )
    return present


def _create(connection: sa.Connection) -> None:
    metadata.create_all(connection)
    if connection.dialect.name == "postgresql":
        for statement in POSTGRESQL:
            connection.exec_driver_sql(statement)
    command, config = _alembic(connection)
    command.stamp(config, HEAD)


def _upgrade(connection: sa.Connection) -> None:
    command, config = _alembic(connection)
    command.upgrade(config, HEAD)


def _alembic(connection: sa.Connection) -> tuple[Any, Any]:
    # Here, because loading Alembic takes longer than opening the database.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return command, config
