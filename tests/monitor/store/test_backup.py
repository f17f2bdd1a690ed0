"""A backup is put back by the commands of deploy/maintenance.md."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import sqlalchemy as sa

from monitor.store import schema
from monitor.store.database import open_database
from monitor.store.engines import writing
from monitor.store.records import Added
from tests.monitor.store.samples import admitted
from tests.world.postgres import PostgreSQL

ROOT = Path(__file__).resolve().parents[3]


def documented(program: str) -> list[str]:
    """The command as it is typed into the container of PostgreSQL."""
    text = (ROOT / "deploy" / "maintenance.md").read_text()
    (command,) = re.findall(rf"exec -T postgres ({program} [^<>\n]*) [<>]reachwatch\.dump", text)
    return shlex.split(command)


async def test_a_backup_of_an_older_schema_is_put_back(postgres_server: PostgreSQL) -> None:
    """After an upgrade the database has tables that an older backup does not know."""
    postgres = postgres_server
    postgres.column(postgres.url("postgres"), "CREATE ROLE reachwatch SUPERUSER LOGIN")
    postgres.column(postgres.url("postgres"), "CREATE DATABASE reachwatch OWNER reachwatch")
    url = postgres.url("reachwatch")
    try:
        async with await open_database(url) as store:
            await store.facts.add([admitted(1)], ())
        dump = postgres.directory / "reachwatch.dump"
        postgres.run(*documented("pg_dump"), "-f", str(dump))
        async with (
            await open_database(url) as store,  # the upgrade
            writing(store.engines) as connection,
        ):
            await connection.execute(sa.text("CREATE TABLE later (probe TEXT)"))
            await connection.execute(sa.text("UPDATE alembic_version SET version_num = 'next'"))
        postgres.run(*documented("pg_restore"), str(dump))
        assert postgres.column(url, "SELECT version_num FROM alembic_version") == [schema.HEAD]
        async with await open_database(url) as store:
            assert await store.facts.add([admitted(1), admitted(2)], ()) == Added(1, 1, 0)
    finally:
        postgres.drop(url)
        postgres.column(postgres.url("postgres"), "DROP ROLE reachwatch")
