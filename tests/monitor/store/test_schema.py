from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory

from monitor.detection.model import EventState, Tier
from monitor.store import schema
from monitor.store.database import Database, open_database
from monitor.store.engines import Engines, StoreRefusedError, connect, writing
from monitor.store.followed import FollowedNews, files_of_hour
from monitor.store.reading.progress import last_received
from monitor.store.reading.published import PublishedEvents, published_events
from monitor.store.records import Added
from tests.monitor.store.arrivals import arrivals
from tests.monitor.store.samples import NOON, admitted, concluded, event
from tests.monitor.store.stage import acting
from tests.monitor.store.test_cell_sums import rows
from tests.monitor.store.test_delivery import enrolled
from tests.monitor.store.test_followed import FILE, HOUR, PLACE
from tests.monitor.store.test_service_hours import judge
from tests.world.waiting import HANG_SECONDS


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


NEXT = f"""
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{schema.HEAD}"


def upgrade() -> None:
    op.add_column("probe", sa.Column("colour", sa.Text, nullable=False, server_default="red"))
"""


async def test_an_older_schema_is_upgraded_and_keeps_its_rows(
    empty_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = await open_database(empty_url)
    await store.facts.add([admitted(1)], ())
    await enrolled(store)
    await store.close()
    # The next version of this program has one script more.
    scripts = tmp_path / "migrations"
    shutil.copytree(Path(schema.__file__).parent / "migrations", scripts)
    (scripts / "versions" / "vnext_colour.py").write_text(NEXT)
    monkeypatch.setattr(schema, "_SCRIPTS", scripts)
    before = schema.HEAD
    monkeypatch.setattr(schema, "HEAD", "next")
    store = await open_database(empty_url)
    said = [record.message for record in caplog.records if record.name == schema.__name__]
    assert said == [f"{store.engines.place}: upgrading schema {before} to next"]
    async with store.engines.write.connect() as connection:
        colours = (await connection.execute(sa.text("SELECT colour FROM probe"))).scalars().all()
    assert colours == ["red"]
    assert await store.facts.add([admitted(1), admitted(2)], ()) == Added(1, 1, 0)
    await store.close()


UNSUMMED = ("DROP TABLE cell_axes", "DROP TABLE cell_sum")
"""To the schema before 0010."""
UNFOLLOWED = ("DROP TABLE followed_file", "DROP TABLE followed_source")
"""To the schema before 0005."""
UNSIGNED = (
    "DROP TABLE probe_key",
    "DROP TABLE arrival_chain",
    "ALTER TABLE probe DROP COLUMN mark",
    "ALTER TABLE probe DROP COLUMN connected_country",
    "ALTER TABLE probe DROP COLUMN connected_asn",
)
"""To the schema before 0006."""
_BY_DAY = "service_day_service_asn_day"


def with_its_indexes(engines: Engines) -> tuple[str, ...]:
    """To the schema before 0011."""
    if engines.sqlite:
        return ("DELETE FROM cursor WHERE name = 'received'",)
    return (
        "DELETE FROM cursor WHERE name = 'received'",
        "DROP INDEX ix_batch_default_first_round",
        "CREATE INDEX ix_batch_first_round ON batch (first_round)",
        f"DROP INDEX ix_{_BY_DAY}_country",
        f"CREATE INDEX ix_{_BY_DAY} ON service_day (service, asn, day)",
        "ALTER TABLE service_day DROP CONSTRAINT pk_service_day, "
        "ADD CONSTRAINT pk_service_day PRIMARY KEY (country, asn, service, day)",
    )


async def test_an_older_store_gets_the_indexes_of_a_new_one(empty_url: str) -> None:
    async def indexes(store: Database) -> set[str]:
        if store.engines.sqlite:
            query = "SELECT sql FROM sqlite_master WHERE type = 'index'"
        else:
            query = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'"
        async with writing(store.engines) as connection:
            return set((await connection.execute(sa.text(query))).scalars())

    store = await open_database(empty_url)
    await store.facts.add([admitted(1)], [])
    await store.facts.add([admitted(2, at=NOON + 5)], [])
    wanted = await indexes(store)
    async with writing(store.engines) as connection:
        for statement in with_its_indexes(store.engines):
            await connection.execute(sa.text(statement))
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '0010'"))
    assert (await indexes(store) == wanted) == store.engines.sqlite
    await store.close()
    store = await open_database(empty_url)
    assert await indexes(store) == wanted
    async with store.reading() as connection:
        assert await last_received(connection) == NOON + 505
    await store.close()


async def test_a_store_from_before_cells_were_summed_up_sums_them_up(empty_url: str) -> None:
    store = await open_database(empty_url)
    await judge(store)
    before = await rows(store)
    assert before
    async with writing(store.engines) as connection:
        older = (*UNSUMMED, *with_its_indexes(store.engines))
        for statement in (*older, "UPDATE alembic_version SET version_num = '0009'"):
            await connection.execute(sa.text(statement))
    await store.close()
    store = await open_database(empty_url)
    assert await rows(store) == before
    await store.close()


async def test_a_state_that_was_saved_whole_is_the_first_part(empty_url: str) -> None:
    store = await open_database(empty_url)
    await store.conclusions.save([concluded(NOON, state=b"whole")], 7)
    async with writing(store.engines) as connection:
        kind = "BLOB" if store.engines.sqlite else "BYTEA"
        for statement in (
            f"ALTER TABLE detector_state ADD COLUMN state {kind}",
            "UPDATE detector_state SET state = (SELECT body FROM state_part)",
            "DROP TABLE state_part",
            *UNSUMMED,
            *UNFOLLOWED,
            *UNSIGNED,
            *with_its_indexes(store.engines),
            "ALTER TABLE journal DROP COLUMN body",
            "UPDATE alembic_version SET version_num = '0001'",
        ):
            await connection.execute(sa.text(statement))
    await store.close()
    store = await open_database(empty_url)
    assert await store.conclusions.load("wechat") == (NOON, [b"whole"])
    await store.conclusions.save([concluded(NOON + 1, state=b"next", is_whole=False)], 8)
    assert await store.conclusions.load("wechat") == (NOON + 1, [b"whole", b"next"])
    await store.close()


async def test_a_journal_from_before_it_kept_events_is_read(empty_url: str) -> None:
    store = await open_database(empty_url)
    sure = event(tier=Tier.CONFIRMED, state=EventState.CLOSED, closed=NOON)
    await store.conclusions.save([concluded(events=(sure,))], 1)
    async with store.engines.write.begin() as connection:
        older = (*UNSUMMED, *UNFOLLOWED, *UNSIGNED, *with_its_indexes(store.engines))
        for statement in ("ALTER TABLE journal DROP COLUMN body", *older):
            await connection.execute(sa.text(statement))
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '0002'"))
        await connection.execute(
            sa.text(
                "INSERT INTO journal (at, event, service, country, transition) "
                f"VALUES (5, '{event().id}', 'wechat', 'RU', 'opened'), "
                f"(6, '{event().id}', 'wechat', 'RU', 'likely'), "
                f"(10, '{event().id}', 'wechat', 'RU', 'confirmed')"
            )
        )
    await store.close()
    store = await open_database(empty_url)
    async with store.reading() as connection:
        (found,) = (await published_events(connection, 9)).events
        assert (found.state, found.tier) == (EventState.OPEN, Tier.LIKELY)
        assert (await published_events(connection, 9)).reconstructed == {found.id}
        assert await published_events(connection, 4) == PublishedEvents([])
    await store.close()


async def test_a_store_from_before_sources_were_followed_follows_them(empty_url: str) -> None:
    store = await open_database(empty_url)
    async with writing(store.engines) as connection:
        older = (*UNSUMMED, *UNFOLLOWED, *UNSIGNED, *with_its_indexes(store.engines))
        for statement in older:
            await connection.execute(sa.text(statement))
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = '0004'"))
    await store.close()
    store = await open_database(empty_url)
    await store.facts.add_followed([], "ooni", FollowedNews(files=[FILE], progress=PLACE))
    async with store.reading() as connection:
        assert await files_of_hour(connection, "ooni", HOUR) == {FILE.name: FILE}
    await store.close()


async def test_many_processes_open_a_new_database_at_once(empty_url: str) -> None:
    with (
        acting("opener", empty_url) as one,
        acting("opener", empty_url) as two,
        acting("opener", empty_url) as three,
        acting("opener", empty_url) as four,
    ):
        for each in (one, two, three, four):
            _, errors = each.communicate(timeout=HANG_SECONDS)
            assert (each.returncode, errors) == (0, "")
    store = await open_database(empty_url)
    assert len(await arrivals(store)) == 4
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
            await connection.run_sync(schema._create)
            raise PulledPlugError
    assert await schema.upgrade_schema(engines)
    await engines.close()
