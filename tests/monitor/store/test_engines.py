"""What the world does to a database: one line each, and it recovers."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
from pathlib import Path

import asyncpg
import pytest
import sqlalchemy as sa

from monitor.store import engines
from monitor.store.database import Database, open_database
from monitor.store.engines import StoreRefusedError
from monitor.store.records import Added, StoreUnavailableError
from monitor.store.sqlite_engine import RollbackConnection
from monitor.store.tables import measurement
from tests.monitor.store.arrivals import arrivals
from tests.monitor.store.samples import admitted, id_of
from tests.monitor.store.stage import acting, line
from tests.world.ports import free_port
from tests.world.postgres import PostgreSQL
from tests.world.waiting import HANG_SECONDS

pytestmark = pytest.mark.needs("postgresql")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "not a URL"),
        ("store.sqlite", "not a URL"),
        ("sqlite+aiosqlite://", "needs a file"),
        ("sqlite+aiosqlite:///:memory:", "needs a file"),
        ("mysql+aiomysql://u:secret@h/d", "neither"),
        ("postgresql+psycopg://u:secret@h/d", "neither"),
    ],
)
def test_a_bad_url_is_one_line_without_its_password(url: str, reason: str) -> None:
    with pytest.raises(StoreRefusedError, match=reason) as caught:
        engines.connect(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_file_that_cannot_be_made_names_itself(tmp_path: Path) -> None:
    with pytest.raises(StoreRefusedError, match=r"nowhere/x\.sqlite: No such file"):
        await open_database(f"sqlite+aiosqlite:///{tmp_path}/nowhere/x.sqlite")
    with pytest.raises(StoreUnavailableError, match="directory"):
        await open_database(f"sqlite+aiosqlite:///{tmp_path}")


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
async def test_what_goes_into_a_file_that_was_taken_away_is_not_stored(
    how: str, sqlite_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "store.sqlite"
    async with await open_database(sqlite_url) as store:
        await store.facts.add([admitted(1)], [])
        away = path.rename(tmp_path / "away")
        if how == "deleted":
            away.unlink()
        elif how == "replaced":
            path.write_bytes(away.read_bytes())
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match="moved, deleted or replaced"):
                await store.facts.add([admitted(2)], [])
            with pytest.raises(StoreUnavailableError, match="moved, deleted or replaced"):
                async with store.reading():
                    pass
        if how == "moved":
            away.rename(path)
            assert (await store.facts.add([admitted(3)], [])).new == 1
            async with store.reading():
                pass


async def test_a_new_file_is_its_owners_alone(sqlite_url: str, tmp_path: Path) -> None:
    store = await open_database(sqlite_url)
    await store.facts.add([admitted(1)], [])
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    await store.close()
    assert set(modes) == {"store.sqlite", "store.sqlite-wal", "store.sqlite-shm"}
    assert set(modes.values()) == {0o600}


async def test_readers_cannot_write(sqlite_url: str) -> None:
    store = await open_database(sqlite_url)
    with pytest.raises(sa.exc.OperationalError, match="readonly"):
        async with store.engines.read.begin() as connection:
            await connection.execute(sa.text("DELETE FROM token"))
    await store.close()


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_file_that_is_no_database(tmp_path: Path, size: int) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"no base " * size)
    with pytest.raises(StoreRefusedError, match="file is not a database") as caught:
        await open_database(f"sqlite+aiosqlite:///{path}")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"no base " * size


async def test_a_corrupted_file_says_so(sqlite_url: str, tmp_path: Path) -> None:
    store = await open_database(sqlite_url)
    await store.facts.add([admitted(n) for n in range(2000)], [])
    await store.close()
    path = tmp_path / "store.sqlite"
    whole = path.read_bytes()
    good = len(whole) * 3 // 4  # the schema is read when the file is opened
    path.write_bytes(whole[:good] + random.Random(1).randbytes(len(whole) - good))
    store = await open_database(sqlite_url)
    with pytest.raises(StoreUnavailableError, match="malformed"):
        await store.facts.add([admitted(n) for n in range(4000)], [])
    await store.close()


async def test_a_writer_waits_for_a_lock_and_a_reader_does_not(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LOCK_SECONDS", HANG_SECONDS)
    store = await open_database(sqlite_url)
    with acting("locker", str(tmp_path / "store.sqlite")) as other:
        line(other)
        assert await arrivals(store) == []
        writing = asyncio.create_task(store.facts.add([admitted(1)], []))
        await asyncio.sleep(0.2)
        assert not writing.done()
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        assert await writing == Added(1, 0, 0)
    await store.close()


async def test_locked_for_too_long_is_said_and_recovers(
    sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "LOCK_SECONDS", 0.3)
    store = await open_database(sqlite_url)
    with acting("locker", str(tmp_path / "store.sqlite")) as other:
        line(other)
        with pytest.raises(StoreUnavailableError, match="database is locked"):
            await store.facts.add([admitted(1)], [])
        other.kill()
        other.wait()
    assert await store.facts.add([admitted(1)], []) == Added(1, 0, 0)
    await store.close()


async def test_killed_in_the_middle_leaves_nothing_and_no_lock(url: str) -> None:
    store = await open_database(url)
    with acting("half_done", url) as other:
        line(other)
        other.kill()
        other.wait()
    assert len(await arrivals(store)) == 1
    assert await store.facts.add([admitted(n) for n in range(1000)], []) == Added(999, 1, 0)
    await store.close()


async def test_what_was_promised_survives_kill_nine(url: str) -> None:
    store = await open_database(url)
    promised: set[str] = set()
    dice = random.Random(3)
    for probe in range(3):
        with acting("collector", url, str(probe)) as other:
            promised |= {line(other) for _ in range(5)}
            await asyncio.sleep(dice.uniform(0.02, 0.3))
            other.kill()
            assert other.stdout is not None
            promised |= {each.strip() for each in other.stdout if len(each) == 33}
    held = {one.measurement.id for one in await store.facts.facts(0, 2**60)}
    await store.close()
    assert len(promised) > 10
    assert promised <= held


def said_when_cramped(said: str) -> bool:
    return "disk is full" in said or "disk I/O error" in said


def test_a_file_that_may_not_grow_is_said_and_recovers(sqlite_url: str) -> None:
    with acting("cramped", sqlite_url, "600000") as other:
        trouble, outcome = line(other), line(other)
    promised, again, held = map(int, outcome.split())
    assert said_when_cramped(trouble), trouble
    assert again == 50
    assert held == promised + 50
    assert promised > 0


@pytest.mark.lab
def test_a_full_disk_is_said_and_recovers(tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size=1m tmpfs "{tmp_path}" && exec "$@"'
    before = ("unshare", "-m", "sh", "-c", mount, "sh")
    url = f"sqlite+aiosqlite:///{tmp_path}/store.sqlite"
    with acting("cramped", url, "0", before=before) as other:
        trouble = line(other)
        assert line(other) == "waiting for room"
        # unshare and sh have replaced themselves: the actor lives in the new mount namespace.
        grow = ["nsenter", "-m", "-t", str(other.pid), "mount", "-o", "remount,size=64m"]
        subprocess.run([*grow, str(tmp_path)], check=True)
        assert other.stdin is not None
        other.stdin.write("\n")
        other.stdin.flush()
        promised, again, held = map(int, line(other).split())
    assert "disk is full" in trouble, trouble
    assert (again, held) == (50, promised + 50)


async def test_what_is_read_together_is_of_one_moment_for_its_task_alone(store: Database) -> None:
    async def count() -> int:
        async with store.reading() as connection:
            return int(await connection.scalar(sa.select(sa.func.count()).select_from(measurement)))

    async with store.together():
        assert await count() == 0
        await store.facts.add([admitted(1)], [])
        assert await count() == 0
        assert await asyncio.create_task(count()) == 1
    assert await count() == 1
    async with store.together(), store.reading() as connection:
        with pytest.raises(StoreUnavailableError):
            async with store.reading():
                raise sqlite3.OperationalError("disk I/O error")
        assert await connection.scalar(sa.text("SELECT 1")) == 1
    assert store.engines.taken == {}


async def test_a_cancelled_writer_lets_the_lock_go(store: Database) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(store.facts.add([admitted(n + 100 * t) for n in range(100)], []))
            for t in range(8)
        ]
        await asyncio.sleep(0.005)
        for task in tasks[:-1]:
            task.cancel()
    await store.facts.add([admitted(n) for n in range(800)], [])
    assert len(await arrivals(store)) == 800


def test_a_closed_connection_holds_no_lock_whoever_holds_its_statements(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    first = sqlite3.connect(file, isolation_level=None, factory=RollbackConnection)
    first.execute("CREATE TABLE kept (n)")
    first.execute("BEGIN IMMEDIATE")
    held = first.execute("INSERT INTO kept VALUES (1) RETURNING n")
    first.close()
    second = sqlite3.connect(file, isolation_level=None, timeout=0.1)
    second.execute("BEGIN IMMEDIATE")
    assert second.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    second.close()
    del held


async def test_nobody_listens_on_postgresqls_port() -> None:
    url = f"postgresql+asyncpg://u:secret@127.0.0.1:{free_port()}/d"
    with pytest.raises(StoreUnavailableError, match=r"(?i)connect") as caught:
        await open_database(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_no_such_database(postgres_server: PostgreSQL) -> None:
    url = f"postgresql+asyncpg://postgres@127.0.0.1:{postgres_server.port}/nothing"
    with pytest.raises(StoreUnavailableError, match="does not exist"):
        await open_database(url)


async def test_a_postgresql_that_dies_is_said_and_recovers(postgres_server: PostgreSQL) -> None:
    url = postgres_server.fresh()
    store = await open_database(url)
    await store.facts.add([admitted(1)], [])
    postgres_server.kill()
    with pytest.raises(StoreUnavailableError) as caught:
        await store.facts.add([admitted(2)], [])
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreUnavailableError):
        await store.conclusions.load("wechat")
    postgres_server.start()
    assert await store.facts.add([admitted(1), admitted(2)], []) == Added(1, 1, 0)
    assert await store.facts.measurement(id_of(admitted(2))) is not None
    await store.close()
    postgres_server.drop(url)


@pytest.mark.parametrize(("idle", "looks"), [(60.0, 0), (-1.0, 3)], ids=["just used", "idle"])
async def test_a_connection_is_looked_at_when_it_was_idle_and_replaced_when_it_is_closed(
    postgres_server: PostgreSQL, monkeypatch: pytest.MonkeyPatch, idle: float, looks: int
) -> None:
    looked = []
    adapter = sa.dialects.postgresql.asyncpg.AsyncAdapt_asyncpg_connection
    ping = adapter.ping
    monkeypatch.setattr(adapter, "ping", lambda self: (looked.append(1), ping(self)))
    monkeypatch.setattr(engines, "IDLE_SECONDS", idle)
    url = postgres_server.fresh()
    own = sa.text("SELECT pg_backend_pid()")
    async with await open_database(url) as store:
        async with store.reading() as connection:
            first = await connection.scalar(own)
        looked.clear()
        for _ in range(3):
            async with store.together() as connection:
                assert await connection.scalar(own) == first
        assert len(looked) == looks
        postgres_server.column(url, f"SELECT pg_terminate_backend({first}, 5000)")
        await asyncio.sleep(0.1)  # the end of the connection arrives
        async with store.reading() as connection:
            assert await connection.scalar(own) != first
    postgres_server.drop(url)


def test_our_own_mistakes_stay_exceptions() -> None:
    ours = [sqlite3.IntegrityError("UNIQUE"), sqlite3.ProgrammingError("x"), ValueError("y")]
    assert [engines.unavailable_reason(error) for error in ours] == [None, None, None]
    assert engines.unavailable_reason(ConnectionRefusedError(111, "Connection\nrefused")) == (
        "[Errno 111] Connection refused"
    )
    assert (
        engines.unavailable_reason(sqlite3.OperationalError("database is locked"))
        == "database is locked"
    )


def test_a_server_that_dies_in_the_middle_of_its_answer_is_unavailable() -> None:
    told = asyncpg.InternalClientError("cannot switch to state 12; another operation (2)")
    wrapped = sa.exc.InternalError("SELECT 1", None, told)
    assert engines.unavailable_reason(wrapped) == str(told)


ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"


async def test_a_statement_ends_with_its_task(url: str) -> None:
    store = await open_database(url)
    began = asyncio.Event()

    async def read() -> None:
        async with store.reading() as connection:
            began.set()
            await connection.execute(sa.text(ENDLESS))

    task = asyncio.create_task(read())
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Closing would wait for a statement that goes on in its thread, for ever.
    await store.close()


async def test_closing_waits_until_cancelled_transactions_have_rolled_back(url: str) -> None:
    store = await open_database(url)
    began = asyncio.Event()

    async def read() -> None:
        async with store.reading():
            began.set()
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(read()) for _ in range(8)]  # of more than there are connections
    await began.wait()
    for task in tasks:
        task.cancel()
    await store.close()
    assert [task.cancelled() for task in tasks] == [True] * 8


async def test_a_read_sees_one_moment_while_others_write(store: Database) -> None:
    """The vantages are read first, and then measurements, of which each has a vantage."""
    count = sa.select(sa.func.count()).select_from(measurement)
    async with store.reading() as connection:
        assert await connection.scalar(count) == 0
        assert await store.facts.add([admitted(1)], ()) == Added(1, 0, 0)
        assert await connection.scalar(count) == 0
    async with store.reading() as connection:
        assert await connection.scalar(count) == 1


async def test_a_read_that_takes_too_long_is_ended(url: str) -> None:
    store = await open_database(url, read_seconds=2)
    with pytest.raises(StoreUnavailableError, match="no answer within 2 s"):
        async with store.reading() as connection:
            await connection.execute(sa.text(ENDLESS))
    async with store.reading() as connection:  # and the connection serves the next one
        assert await connection.scalar(sa.text("SELECT 1")) == 1
    await store.close()


@pytest.mark.parametrize(("once", "mode"), [(False, "auto"), (True, "force_generic_plan")])
async def test_postgresql_plans_statements_once_where_that_was_asked_for(
    once: bool, mode: str, postgres_url: str
) -> None:
    async with (
        await open_database(postgres_url, planned_once=once) as database,
        database.reading() as connection,
    ):
        used = await connection.scalar(sa.text("SELECT current_setting('plan_cache_mode')"))
    assert used == mode
