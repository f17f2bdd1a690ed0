from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from monitor.store import schema
from monitor.store.database import open_database
from monitor.store.engines import StoreRefusedError, connect, writing
from monitor.store.reading.counts import service_hours
from monitor.store.reading.newest import newest_verdicts, revisions
from tests.monitor.store.samples import HOUR, MINUTE, NOON, admitted, concluded, verdict
from tests.monitor.store.stage import acting


def test_head_and_known_are_what_the_scripts_say() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    assert scripts.get_heads() == [schema.HEAD]
    assert {each.revision for each in scripts.walk_revisions()} == set(schema.KNOWN)


async def test_a_second_time_there_is_nothing_to_do(empty_url: str) -> None:
    engines = connect(empty_url)
    assert await schema.upgrade_schema(engines)
    assert not await schema.upgrade_schema(engines)
    await engines.close()


async def test_a_store_of_an_older_schema_keeps_its_rows(empty_url: str) -> None:
    store = await open_database(empty_url)
    rows = [admitted(1), admitted(2, at=NOON + MINUTE)]
    await store.facts.add(rows, ())
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], 2)
    async with writing(store.engines) as connection:
        await connection.execute(sa.text("DROP INDEX ix_verdict_round_measurement"))
        await connection.execute(sa.text("DROP TABLE newest_verdict"))
        await connection.execute(sa.text("DROP TABLE revision"))
        await connection.execute(sa.text("DROP TABLE service_hour"))
        await connection.execute(sa.text("DROP INDEX ix_cell_target_country_asn_hour"))
        await connection.execute(sa.text("CREATE INDEX ix_cell_target_hour ON cell (target, hour)"))
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '0001'"))
    await store.close()
    store = await open_database(empty_url)
    assert len(await store.facts.arrivals(0)) == 2
    async with store.reading() as reader:
        assert [each.round for each in await newest_verdicts(reader, NOON)] == [NOON + MINUTE]
        assert await revisions(reader) == {"wechat": 1}
        (hour,) = await service_hours(reader, ["wechat"], NOON, NOON + HOUR, country="RU")
        assert (hour.n, hour.vantages) == (2, 1)
        names = await reader.run_sync(lambda c: sa.inspect(c).get_indexes("verdict"))
        assert "ix_verdict_round_measurement" in {each["name"] for each in names}
    await store.close()


async def test_many_processes_open_a_new_database_at_once(empty_url: str) -> None:
    with (
        acting("opener", empty_url) as one,
        acting("opener", empty_url) as two,
        acting("opener", empty_url) as three,
        acting("opener", empty_url) as four,
    ):
        for each in (one, two, three, four):
            _, errors = each.communicate(timeout=60)
            assert (each.returncode, errors) == (0, "")
    store = await open_database(empty_url)
    assert len(await store.facts.arrivals(0)) == 4
    await store.close()


async def test_a_newer_schema_is_refused_and_untouched(empty_url: str) -> None:
    engines = connect(empty_url)
    await schema.upgrade_schema(engines)
    async with writing(engines) as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    await engines.close()
    for _ in range(2):
        with pytest.raises(StoreRefusedError, match="schema 9999 is unknown") as caught:
            await open_database(empty_url)
        assert "\n" not in str(caught.value)


async def test_somebody_elses_file_is_refused(sqlite_url: str, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "store.sqlite")
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreRefusedError, match="another program: bookmarks"):
        await open_database(sqlite_url)


async def test_tables_with_our_names_and_no_history_are_refused(empty_url: str) -> None:
    engines = connect(empty_url)
    async with writing(engines) as connection:
        await connection.execute(sa.text("CREATE TABLE probe (id INTEGER)"))
    await engines.close()
    with pytest.raises(StoreRefusedError, match="another program: probe"):
        await open_database(empty_url)


async def test_a_migration_that_was_killed_is_done_again(empty_url: str) -> None:
    """Making the schema is one transaction: half of it is none of it."""
    engines = connect(empty_url)

    class PulledPlugError(Exception):
        pass

    with pytest.raises(PulledPlugError):  # noqa: PT012 - the transaction is the block
        async with writing(engines) as connection:
            await connection.run_sync(schema._upgrade)
            raise PulledPlugError
    assert await schema.upgrade_schema(engines)
    await engines.close()
