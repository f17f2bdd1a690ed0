from __future__ import annotations

import argparse
import asyncio
import importlib
import json
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from monitor.commands.main import main
from monitor.commands.replay import FOREVER, fold_store, lines
from monitor.detection.model import State
from monitor.detection.policy import Policy
from monitor.interop.archive import Archive, ArchiveError, existing_archive, stream_all
from monitor.store.database import Database, open_database
from monitor.store.days import DAY_MS, day_of
from monitor.store.records import Filter
from monitor.store.retention import prune
from tests.monitor.fleet import INTERVAL, from_round, rounds
from tests.monitor.fleet import admitted as lines_of
from tests.monitor.store.conftest import (
    postgres_server,
    postgres_url,
    sqlite_url,
    store,
    url,
)
from tests.monitor.store.samples import (
    HOUR,
    NOON,
    admitted,
    concluded,
    event,
    id_of,
    verdict,
)

__all__ = ["postgres_server", "postgres_url", "sqlite_url", "store", "url"]

TODAY = day_of(NOON)


async def filled(store: Database) -> list[Any]:
    rows = [admitted(n, at=NOON + n // 10 * HOUR, probe=n % 3) for n in range(20)]
    rows += [admitted(n, at=NOON + DAY_MS) for n in range(20, 25)]
    await store.facts.add(rows, [])
    said = tuple(verdict(row, State.BLOCKED if n % 4 else State.OK) for n, row in enumerate(rows))
    seen = event(witnesses=(id_of(rows[3]),), updated=NOON)
    await store.conclusions.save([concluded(facts=said, events=(seen,))], 1)
    return rows


async def everything(store: Database, archive: Archive | None) -> dict[str, Any]:
    found = [one async for part in stream_all(store, archive, Filter()) for one in part]
    by_id = {one.measurement.id: one for one in found}
    assert len(by_id) == len(found)
    return by_id


async def test_a_day_is_archived_and_dropped_and_read(
    store: Database, url: str, tmp_path: Path
) -> None:
    rows = await filled(store)
    before = await everything(store, None)
    archive = Archive(tmp_path / "archive")
    assert await archive.write(store, TODAY) == 20
    archive.verify(TODAY)
    assert archive.days()[TODAY]["measurements"] == 20
    # A stored day is not read twice.
    assert await everything(store, archive) == before

    async def write(day: int) -> None:
        await archive.write(store, day)

    assert (await prune(url, NOON + DAY_MS, write)).witnesses_kept == 1
    assert await everything(store, archive) == before
    assert len(await everything(store, None)) == 6
    (name,) = [file["name"] for file in archive.days()[TODAY]["files"]]
    table = pq.read_table(tmp_path / "archive" / "day=2026-09-21" / name).to_pylist()
    assert {row["line"] for row in table} == {row.line.decode() for row in rows[:20]}
    shown = json.loads(next(row["verdict"] for row in table if row["id"] == id_of(rows[1])))
    assert (shown["state"], shown["technique"]) == ("blocked", "tls.reset.sni")
    assert [row["round"] for row in table] == sorted(row["round"] for row in table)
    # Only evidence is left of the day: archiving again loses nothing.
    assert await archive.write(store, TODAY) == 20
    assert await everything(store, archive) == before


async def test_what_is_new_is_added_to_an_archived_day(store: Database, tmp_path: Path) -> None:
    await filled(store)
    archive = Archive(tmp_path)
    await archive.write(store, TODAY)
    late = admitted(99)
    await store.facts.add([late], [])
    assert await archive.write(store, TODAY) == 21
    archive.verify(TODAY)
    found = [one for part in archive.measurements(TODAY, 0, 2**60) for one in part]
    assert len(found) == 21
    assert {one.line for one in found if one.id == id_of(late)} == {late.line}
    assert len(list(tmp_path.glob("*/*.parquet"))) == 1


async def test_a_line_that_is_no_text_is_archived_byte_for_byte(
    store: Database, tmp_path: Path
) -> None:
    one = admitted(1)
    line = one.line[:-1] + b',"other":"\xff"}'
    await store.facts.add([msgspec.structs.replace(one, line=line)], [])
    archive = Archive(tmp_path)
    await archive.write(store, TODAY)
    (found,) = [one for part in archive.measurements(TODAY, 0, 2**60) for one in part]
    assert found.line == line


async def test_a_damaged_archive_is_reported_and_its_day_is_not_dropped(
    store: Database, url: str, tmp_path: Path
) -> None:
    await filled(store)
    archive = Archive(tmp_path)
    await archive.write(store, TODAY)
    (path,) = tmp_path.glob("*/*.parquet")
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    async def write(day: int) -> None:
        await archive.write(store, day)

    with pytest.raises(ArchiveError, match="differs from its manifest"):
        await prune(url, NOON + DAY_MS, write)
    assert len(await everything(store, None)) == 25
    (tmp_path / "day=2026-09-21" / "manifest.json").write_text('{"version": 9}')
    with pytest.raises(ArchiveError, match="version 9"):
        archive.days()


async def test_replay_reads_archived_days_and_the_store(tmp_path: Path) -> None:
    """A block over midnight: the same events, byte for byte, from whatever holds its days."""
    midnight = 1_800_000_000_000 // DAY_MS * DAY_MS
    made = rounds(range(40), from_round(4, 30), start=midnight - 20 * INTERVAL)
    place = f"sqlite+aiosqlite:///{tmp_path}/reachwatch.db"
    database = await open_database(place)
    await database.facts.add(lines_of(made), [])

    async def replayed(archive: Archive | None = None) -> bytes:
        return lines((await fold_store(database, FOREVER, Policy(), archive=archive)).events)

    expected = await replayed()
    assert b'"tier":"confirmed"' in expected
    archive = Archive(tmp_path / "archive")
    await archive.write(database, day_of(midnight) - 1)
    assert await replayed(archive) == expected
    await prune(place, midnight)
    assert await replayed(archive) == expected
    assert await replayed() != expected
    await archive.write(database, day_of(midnight))
    await prune(place, midnight + DAY_MS)
    assert await replayed(archive) == expected
    await database.close()
    given = argparse.Namespace(data=tmp_path, database=None, archive=None)
    assert existing_archive(given) is not None  # the one in the data directory
    given.data = tmp_path / "elsewhere"
    assert existing_archive(given) is None


def test_without_pyarrow_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = importlib.import_module

    def missing(name: str, package: str | None = None) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, package)

    asyncio.run(_make(tmp_path))
    monkeypatch.setattr(importlib, "import_module", missing)
    place = ["--data", str(tmp_path)]
    for command in (["archive"], ["db", "prune", "--archive", str(tmp_path / "a")]):
        assert main([*command, *place]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert said == ["reachwatch: the archive needs pyarrow: pip install 'reachwatch[parquet]'"]


async def _make(directory: Path) -> None:
    database = await open_database(f"sqlite+aiosqlite:///{directory}/reachwatch.db")
    await database.facts.add([admitted(n) for n in range(3)], [])
    await database.close()


def test_the_command_archives_every_day_that_is_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(_make(tmp_path))
    given = ["archive", "--data", str(tmp_path), "--before"]
    assert main([*given, "2026-09-21"]) == 0
    assert capsys.readouterr().out == "0 days archived\n"
    assert main([*given, "2026-09-22"]) == 0
    assert capsys.readouterr().out == "2026-09-21: 3 measurements\n1 days archived\n"
    assert list((tmp_path / "archive").glob("day=2026-09-21/manifest.json"))
