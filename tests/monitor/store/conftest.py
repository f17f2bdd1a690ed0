from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from monitor.store.database import Database, open_database
from tests.world.postgres import postgres_server

__all__ = ["postgres_server"]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"
        return
    server = request.getfixturevalue("postgres_server")
    made = server.fresh()
    yield made
    server.drop(made)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Database]:
    database = await open_database(url, now=lambda: 77)
    yield database
    await database.close()
