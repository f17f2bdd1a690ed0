from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from monitor.store.database import Database, migrate, open_database
from monitor.store.tables import metadata
from tests.world.postgres import PostgreSQL, postgres_server
from tests.world.stores import migrated

__all__ = ["postgres_server"]

KINDS = ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgreSQL) -> str:
    """A database that tests use one after the other."""
    return postgres_server.fresh()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"


@pytest.fixture(params=KINDS)
async def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A migrated database of each kind in turn, without rows."""
    if request.param == "sqlite":
        return await migrated(tmp_path / "store.sqlite")
    made = str(request.getfixturevalue("postgres_url"))
    await migrate(made)
    connection = await asyncpg.connect(made.replace("+asyncpg", ""))
    await connection.execute(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY")
    await connection.close()
    return made


@pytest.fixture(params=KINDS)
def empty_url(request: pytest.FixtureRequest, sqlite_url: str) -> Iterator[str]:
    """A database of each kind in turn, without tables."""
    if request.param == "sqlite":
        yield sqlite_url
        return
    server = request.getfixturevalue("postgres_server")
    made = server.fresh()
    yield made
    server.drop(made)


@pytest.fixture
async def store(url: str) -> AsyncIterator[Database]:
    database = await open_database(url, now=lambda: 77)
    yield database
    await database.close()
