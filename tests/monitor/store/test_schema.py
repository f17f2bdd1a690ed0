from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import State
from monitor.store import schema
from monitor.store.batches import HEADER, LEVEL
from monitor.store.database import open_database
from monitor.store.days import DAY_MS, day_of
from monitor.store.engines import StoreRefusedError, connect, writing
from monitor.store.migrations import batching, dating
from monitor.store.migrations.packed_lines import _DICTIONARIES
from monitor.store.reading.counts import service_days, service_hours
from monitor.store.reading.measurements import get_verdict, list_judged
from monitor.store.reading.newest import newest_verdicts, revisions
from monitor.store.records import Added, Admitted, StoreUnavailableError
from monitor.store.retention import prune
from monitor.store.tables import stored_day
from probes.runtime.compression import zstd
from probes.wire.codec import encode_batch
from tests.monitor.store.arrivals import arrivals
from tests.monitor.store.samples import HOUR, MINUTE, NOON, admitted, id_of, verdict
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


async def old_store(url: str, revision: str, rows: Sequence[Admitted]) -> None:
    """A store of an older schema, as that version wrote it: one packed line a measurement, and
    verdicts."""
    engines = connect(url)
    async with writing(engines) as connection:
        await connection.run_sync(schema._upgrade, revision)
        await connection.execute(
            sa.text(
                "INSERT INTO vantage (probe, owner, role, enrolled, country, asn, source) "
                "VALUES ('p-0', 'ada', 'vantage', 7, 'RU', 64501, 'probe')"
            )
        )
        await connection.execute(sa.text("INSERT INTO target (id, service) VALUES ('t/t', 't')"))
        state = "INSERT INTO detector_state (service, round, state) VALUES ('t', 1, :state)"
        await connection.execute(sa.text(state), {"state": b"state"})
        await connection.execute(
            sa.text(
                "INSERT INTO cell (hour, target, country, asn, state, rule, n, vantages, "
                "all_vantages) VALUES (:hour, 't/t', 'RU', 64501, 'ok', 'tls.ok', :n, 1, 1)"
            ),
            {"hour": NOON, "n": len(rows)},
        )
        for arrival, row in enumerate(rows, 11):
            one = row.stored.measurement
            packed = zstd.compress(row.line, 1, zstd_dict=_DICTIONARIES[1])
            await connection.execute(
                sa.text(
                    "INSERT INTO measurement (arrival, id, vantage, target, round, started, "
                    "interval_ms, received, line) VALUES (:arrival, :id, 1, 1, :round, :started, "
                    ":interval, :received, :line)"
                ),
                {
                    # Numbers that were never used, as PostgreSQL's sequences leave them.
                    "arrival": arrival + 5 * (arrival > 13),
                    "id": bytes.fromhex(one.id),
                    "round": one.round,
                    "started": one.started,
                    "interval": one.interval_ms,
                    "received": row.received,
                    "line": b"\x01" + packed,
                },
            )
            await connection.execute(
                sa.text(
                    "INSERT INTO verdict (measurement, target, service, country, asn, probe, "
                    "round, state, rule, body) VALUES (:id, 't/t', 't', 'RU', 64501, 'p-0', "
                    ":round, 'ok', 'tls.ok', :body)"
                ),
                {
                    "id": bytes.fromhex(one.id),
                    "round": one.round,
                    "body": msgspec.json.encode(verdict(row).verdict),
                },
            )
    await engines.close()


@pytest.mark.parametrize("revision", [each for each in schema.KNOWN if each < "0006"])
async def test_a_store_of_an_older_schema_keeps_its_rows(
    empty_url: str,
    revision: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(batching, "CHUNK", 7)
    rows = [admitted(n, at=NOON + n // 10 * MINUTE) for n in range(30)]
    await old_store(empty_url, revision, rows)
    store = await open_database(empty_url)
    said = [record.message for record in caplog.records if record.name == schema.__name__]
    assert said == [f"{store.engines.place}: upgrading schema {revision} to {schema.HEAD}"]
    assert await arrivals(store) == [11, 12, 13, *range(19, 46)]
    for row in rows:
        found = await store.facts.measurement(id_of(row))
        assert found is not None
        assert (found[0].measurement, found[1]) == (row.stored.measurement, row.line)
    async with store.reading() as reader:
        (newest,) = await newest_verdicts(reader, "t", NOON, {})
        assert (newest.round, newest.probe, newest.verdict.rule) == (
            *(NOON + 2 * MINUTE, "p-0", "tls.ok"),
        )
        for row in (rows[0], rows[-1]):
            assert await get_verdict(reader, id_of(row)) == verdict(row).verdict
        assert await revisions(reader) == ({"t": 1} if revision < "0004" else {})
        if revision < "0005":
            (hour,) = await service_hours(reader, ["t"], NOON, NOON + HOUR, country="RU")
            assert (hour.n, hour.vantages) == (30, 1)
            # The day is not over: it is drawn from its hours.
            assert [each.n for each in await service_days(reader, ["t"], NOON, NOON + HOUR)] == [30]
        names = await reader.run_sync(lambda c: sa.inspect(c).get_indexes("verdict"))
        assert {each["name"] for each in names} == {"ix_verdict_round_service"}
        tables = await reader.run_sync(lambda c: sa.inspect(c).get_table_names())
        assert not {"verdict_row", "newest_verdict"} & set(tables)
        assert not await reader.run_sync(lambda c: sa.inspect(c).has_table(batching.UNBATCHED))
    # It goes on where it stopped: known lines are known, the next number follows the last.
    assert await store.facts.add([*rows, admitted(99)], ()) == Added(1, 30, 0)
    assert (await arrivals(store))[-1] > 45
    await store.close()


async def store_of_batches(url: str, rows: Sequence[Admitted]) -> None:
    """A store of schema 0008, as that version wrote it: batches of seven lines, of which the second
    has measurements of two days."""
    engines = connect(url)
    async with writing(engines) as connection:
        await connection.run_sync(schema._upgrade, "0008")
        for statement in (
            "INSERT INTO vantage (probe, owner, role, enrolled, country, asn, source) "
            f"VALUES ('p-{1:016x}', 'ada', 'vantage', {NOON - 9 * HOUR}, 'RU', 64501, 'probe')",
            "INSERT INTO target (id, service) VALUES ('wechat/messaging', 'wechat')",
        ):
            await connection.execute(sa.text(statement))
        for first in range(0, len(rows), 7):
            some = rows[first : first + 7]
            rounds = [each.stored.measurement.round for each in some]
            await connection.execute(
                sa.text("INSERT INTO batch VALUES (:first, :last, :round, :received, :body, 1)"),
                {
                    "first": first + 11,
                    "last": first + 10 + len(some),
                    "round": min(rounds),
                    "received": some[0].received,
                    "body": encode_batch(HEADER, [each.line for each in some], LEVEL),
                },
            )
            await connection.execute(
                sa.text(
                    "INSERT INTO measurement (arrival, round, started, vantage, target, "
                    "interval_ms, id) VALUES (:arrival, :round, :started, 1, 1, :interval, :id)"
                ),
                [
                    {
                        "arrival": first + 11 + place,
                        "round": each.stored.measurement.round,
                        "started": each.stored.measurement.started,
                        "interval": each.stored.measurement.interval_ms,
                        "id": bytes.fromhex(id_of(each)),
                    }
                    for place, each in enumerate(some)
                ],
            )
    await engines.close()


async def test_batches_are_put_into_their_days(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dating, "CHUNK", 5)
    monkeypatch.setattr(dating, "BATCHES", 2)
    rows = [admitted(n, at=NOON + n // 10 * DAY_MS) for n in range(30)]
    await store_of_batches(empty_url, rows)
    real, moves = dating._nth, 0

    async def dies(*given: Any) -> int:
        nonlocal moves
        moves += 1
        if moves == 4:
            raise StoreUnavailableError("the plug")
        return await real(*given)

    monkeypatch.setattr(dating, "_nth", dies)
    with pytest.raises(StoreUnavailableError, match="plug"):
        await open_database(empty_url)
    async with asyncio.TaskGroup() as group:  # it goes on, and several at once do nothing twice
        opened = [group.create_task(open_database(empty_url)) for _ in range(3)]
    store, *others = [each.result() for each in opened]
    for each in others:
        await each.close()
    assert await arrivals(store) == list(range(11, 41))
    for row in rows:
        found = await store.facts.measurement(id_of(row))
        assert found is not None
        assert found[1] == row.line
    async with store.reading() as reader:
        names = await reader.run_sync(lambda c: sa.inspect(c).get_table_names())
        assert not {name for name in names if name.startswith("undated")}
        days = dict((await reader.execute(sa.select(stored_day))).all())
        assert days == dict.fromkeys(range(day_of(NOON), day_of(NOON) + 3), 10)
    assert await store.facts.add([*rows, admitted(99)], ()) == Added(1, 30, 0)
    assert (await arrivals(store))[-1] > 40
    # A batch of two days goes with the second one.
    assert (await prune(empty_url, NOON + DAY_MS)).measurements == 11
    left = await store.facts.facts(0, 2**60)
    assert {one.measurement.id for one in left} == set(map(id_of, rows[10:]))
    assert (await prune(empty_url, NOON + 2 * DAY_MS)).measurements == 10
    assert len(await store.facts.facts(0, 2**60)) == 10
    await store.close()


async def test_verdicts_in_rows_are_packed_by_round(empty_url: str) -> None:
    """A store of schema 0008, in which each verdict was a row."""
    rows = [admitted(n, probe=n % 3, at=NOON + n // 6 * MINUTE) for n in range(60)]
    await store_of_batches(empty_url, rows)
    engines = connect(empty_url)
    said = {
        id_of(row): verdict(row, State.OK if n % 7 else State.BLOCKED)
        for n, row in enumerate(rows[:50])
    }
    async with writing(engines) as connection:
        await connection.execute(
            sa.text(
                "INSERT INTO verdict (measurement, target, service, country, asn, probe, round, "
                "state, rule, body) VALUES (:id, 'wechat/messaging', 'wechat', 'RU', 64501, 'p', "
                ":round, 'ok', 'tls.ok', :body)"
            ),
            [
                {
                    "id": bytes.fromhex(id),
                    "round": one.round,
                    "body": msgspec.json.encode(one.verdict),
                }
                for id, one in said.items()
            ],
        )
        state = "INSERT INTO detector_state (service, round, state) VALUES ('wechat', 1, :state)"
        await connection.execute(sa.text(state), {"state": b"state"})
        await connection.execute(
            sa.text("INSERT INTO cursor VALUES ('detector', 50), ('pruned', 99)")
        )
    await engines.close()
    store = await open_database(empty_url)
    async with store.reading() as reader:
        listed = await list_judged(reader, limit=100)
        assert {one.id: one.verdict for one in listed} == {
            id: one.verdict for id, one in said.items()
        }
        assert await get_verdict(reader, id_of(rows[55])) is None
    assert await store.conclusions.complete() == {"wechat": (50, None)}
    await store.close()


async def test_bringing_over_goes_on_after_a_kill(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batching, "CHUNK", 7)
    rows = [admitted(n) for n in range(30)]
    await old_store(empty_url, "0005", rows)
    real, calls = batching._store, 0

    async def dies(connection: AsyncConnection, parts: Iterable[Any], last: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise StoreUnavailableError("the plug")
        await real(connection, parts, last)

    monkeypatch.setattr(batching, "_store", dies)
    with pytest.raises(StoreUnavailableError, match="plug"):
        await open_database(empty_url)
    async with asyncio.TaskGroup() as group:  # and several at once do nothing twice
        opened = [group.create_task(open_database(empty_url)) for _ in range(3)]
    store = opened[0].result()
    facts = await store.facts.facts(0, 2**60)
    assert {one.measurement.id for one in facts} == set(map(id_of, rows))
    for each in opened:
        await each.result().close()


async def test_a_damaged_line_is_lost_alone(empty_url: str) -> None:
    rows = [admitted(n) for n in range(3)]
    await old_store(empty_url, "0005", rows)
    engines = connect(empty_url)
    async with writing(engines) as connection:
        damage = "UPDATE measurement SET line = :line WHERE arrival = 12"
        await connection.execute(sa.text(damage), {"line": b"\x01junk"})
    await engines.close()
    store = await open_database(empty_url)
    facts = await store.facts.facts(0, 2**60)
    assert {one.measurement.id for one in facts} == {id_of(rows[0]), id_of(rows[2])}
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
            await connection.run_sync(schema._upgrade)
            raise PulledPlugError
    assert await schema.upgrade_schema(engines)
    await engines.close()
