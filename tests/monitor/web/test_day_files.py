"""Measurements of a day as files: the same bytes from the store and from the archive, hashed,
streamed, made once for many requests."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from monitor.interop.archive import Archive
from monitor.interop.flat import COLUMNS
from monitor.store.database import open_database
from monitor.store.days import DAY_MS, date_of, day_of
from monitor.store.reading.days import DayMeasurement
from monitor.store.retention import prune
from monitor.web import day_files
from monitor.web.background import Background
from monitor.web.day_files import LINES, TABLE, DayFiles, NotNowError
from tests.monitor.store.samples import NOON, admitted
from tests.world.stores import migrated
from tests.world.waiting import eventually

DAY = day_of(NOON)
DATE = date_of(DAY).isoformat()
ROWS = 30


@pytest.fixture
async def url(tmp_path: Path) -> str:
    """A store with some measurements of a day, and some of the next."""
    url = await migrated(tmp_path / "store.sqlite")
    database = await open_database(url)
    await database.facts.add([admitted(n, at=NOON + n * 60_000) for n in range(ROWS)], [])
    await database.facts.add([admitted(99, at=NOON + DAY_MS)], [])
    await database.close()
    return url


def contents(files: DayFiles) -> dict[str, bytes]:
    return {name: files.path(DAY, name).read_bytes() for name in (LINES, TABLE)}


async def test_a_day_is_the_same_from_the_store_and_from_the_archive(
    url: str, tmp_path: Path
) -> None:
    now = NOON + 2 * DAY_MS
    database = await open_database(url)
    try:
        live = DayFiles(database, tmp_path / "live", tmp_path / "archive", lambda: now)
        manifest = await live.manifest(DAY, Background())
        assert manifest is not None
        assert manifest["measurements"] == manifest["exported"] == ROWS
        assert manifest["complete"]
        made = contents(live)
        assert [(each["name"], each["sha256"]) for each in manifest["files"]] == [
            (name, hashlib.sha256(made[name]).hexdigest()) for name in (LINES, TABLE)
        ]
        lines = gzip.decompress(made[LINES]).splitlines()
        assert len({json.loads(line)["id"] for line in lines}) == ROWS
        table = pq.read_table(io.BytesIO(made[TABLE]))
        assert table.column_names == list(COLUMNS)
        assert b"by/4.0" in table.schema.metadata[b"licence"]

        archive = Archive(tmp_path / "archive")
        await archive.write(database, DAY)
    finally:
        await database.close()

    async def write(day: int) -> None:
        assert day == DAY

    await prune(url, NOON + DAY_MS // 2, write)
    database = await open_database(url)
    try:
        later = DayFiles(database, tmp_path / "later", tmp_path / "archive", lambda: now)
        day = (await later.days())[DAY]
        assert (day.archived, day.complete, day.measurements) == (True, True, ROWS)
        again = await later.manifest(DAY, Background())
        assert again is not None
        assert contents(later) == made
        assert again["files"] == manifest["files"]
        assert await later.manifest(DAY - 1, Background()) is None
    finally:
        await database.close()


async def test_files_are_made_again_when_measurements_arrive(url: str, tmp_path: Path) -> None:
    now = NOON + DAY_MS
    database = await open_database(url)
    try:
        files = DayFiles(database, tmp_path / "files", tmp_path / "none", lambda: now)
        first = await files.manifest(DAY, Background())
        await database.facts.add([admitted(50, at=NOON + 3_600_000)], [])
        # Not at once: somebody may send them one by one.
        assert await files.manifest(DAY, Background()) == first
        now += day_files.REMAKE_MS
        second = await files.manifest(DAY, Background())
        assert first is not None
        assert second is not None
        assert second["measurements"] == first["measurements"] + 1
        assert second["files"] != first["files"]
        # Today is offered too, and says that it is not complete.
        today = await files.manifest(DAY + 1, Background())
        assert today is not None
        assert not today["complete"]
    finally:
        await database.close()


async def test_one_day_at_a_time(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = await open_database(url)
    going = asyncio.Event()
    begun: list[int] = []
    real = day_files.stream_day

    async def slow(database: object, day: int):  # type: ignore[no-untyped-def]
        begun.append(day)
        await going.wait()
        async for some in real(database, day):  # type: ignore[arg-type]
            yield some

    monkeypatch.setattr(day_files, "stream_day", slow)
    monkeypatch.setattr(day_files, "WAIT_SECONDS", 0.05)
    background = Background()
    try:
        files = DayFiles(database, tmp_path / "files", tmp_path / "none", lambda: NOON + DAY_MS)
        async with background.running():
            with pytest.raises(NotNowError, match="this day are being made"):
                await files.manifest(DAY, background)
            with pytest.raises(NotNowError, match="another day"):
                await files.manifest(DAY + 1, background)
            with pytest.raises(NotNowError, match="this day"):
                await files.manifest(DAY, background)
            assert begun == [DAY]
            going.set()
            await eventually(lambda: files.path(DAY, "manifest.json").exists())
            assert await files.manifest(DAY, background) is not None
            assert begun == [DAY]
    finally:
        await database.close()
    assert not list((tmp_path / "files").glob(".making-*"))


async def test_files_are_closed_when_nothing_writes_to_them_any_more(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends while a thread writes."""
    database = await open_database(url)
    writing, going = threading.Event(), threading.Event()
    order: list[str] = []
    write, leave = day_files._Writers.write, day_files._Writers.__exit__

    def slow_write(self: day_files._Writers, some: Sequence[DayMeasurement]) -> int:
        writing.set()
        going.wait()
        order.append("written")
        return write(self, some)

    def closed(self: day_files._Writers, *error: object) -> None:
        order.append("closed")
        leave(self, *error)

    monkeypatch.setattr(day_files._Writers, "write", slow_write)
    monkeypatch.setattr(day_files._Writers, "__exit__", closed)
    files = DayFiles(database, tmp_path / "files", tmp_path / "none", lambda: NOON + DAY_MS)
    background = Background()
    try:
        async with background.running():
            asked = asyncio.create_task(files.manifest(DAY, background))
            await eventually(writing.is_set)
            asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, going.set)
        with contextlib.suppress(asyncio.CancelledError):
            await asked
    finally:
        going.set()
        await database.close()
    assert order == ["written", "closed"]
    assert not files.path(DAY, "manifest.json").exists()


async def test_a_full_disk_is_a_refusal(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(day_files, "MIN_FREE_BYTES", 1 << 62)
    database = await open_database(url)
    try:
        files = DayFiles(database, tmp_path / "files", tmp_path / "none", lambda: NOON + DAY_MS)
        with pytest.raises(NotNowError, match="cannot be made"):
            await files.manifest(DAY, Background())
        monkeypatch.setattr(day_files, "MIN_FREE_BYTES", 0)
        assert await files.manifest(DAY, Background()) is not None
        # Room is made by what was asked for longest ago.
        monkeypatch.setattr(day_files, "MAX_BYTES", 1)
        assert await files.manifest(DAY + 1, Background()) is not None
        assert [path.name for path in (tmp_path / "files").iterdir()] == [
            date_of(DAY + 1).isoformat()
        ]
    finally:
        await database.close()


async def test_what_was_imported_is_in_files_of_its_own_under_its_licence(tmp_path: Path) -> None:
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    own = [admitted(n, at=NOON + n * 60_000) for n in range(3)]
    theirs = [
        msgspec.structs.replace(one, stored=msgspec.structs.replace(one.stored, source="ooni"))
        for one in (admitted(n, probe=2, at=NOON + n * 60_000) for n in range(5))
    ]
    await database.facts.add([*own, *theirs], [])
    try:
        files = DayFiles(database, tmp_path / "files", tmp_path / "none", lambda: NOON + DAY_MS)
        manifest = await files.manifest(DAY, Background())
    finally:
        await database.close()
    assert manifest is not None
    assert [(each["name"], each["licence"]) for each in manifest["files"]] == [
        ("measurements.jsonl.gz", "CC-BY-4.0"),
        ("measurements.parquet", "CC-BY-4.0"),
        ("ooni.jsonl.gz", "CC-BY-NC-SA-4.0"),
        ("ooni.parquet", "CC-BY-NC-SA-4.0"),
    ]
    for name, rows in (("measurements", 3), ("ooni", 5)):
        lines = gzip.decompress(files.path(DAY, f"{name}.jsonl.gz").read_bytes()).splitlines()
        assert len(lines) == rows
    table = pq.read_table(files.path(DAY, "ooni.parquet"))
    assert b"by-nc-sa/4.0" in table.schema.metadata[b"licence"]
