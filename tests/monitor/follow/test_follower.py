"""Against a real S3 server: every run exactly once, whatever happens to files and process."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import IO, Any

import pytest

from benchmarks.following.faulty import FaultyBucket
from monitor.follow import follower, pace
from monitor.follow.bucket import Bucket, SourceError
from monitor.follow.layout import DAY_MS, HOUR_MS, FileSelection, LayoutError, SourceFile
from monitor.follow.unsaved import Unsaved
from monitor.store.database import Database, open_database
from monitor.store.followed import FollowedNews, progress_of
from monitor.store.reading.progress import ingest_counters
from monitor.store.records import Added, AdmittedBatch
from tests.monitor.follow.samples import NEW_YEAR, followed, runs, stored_runs
from tests.world.bucket import PublicBucket, key, lines_file, posts_file
from tests.world.stores import migrated
from tests.world.waiting import HANG_SECONDS, eventually


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await open_database(await migrated(tmp_path / "store.sqlite"))
    yield opened
    await opened.close()


async def counted(database: Database) -> dict[str, int]:
    async with database.reading() as connection:
        rows = await ingest_counters(connection)
    return {f"{name} {reason}": n for name, reason, n in rows if name.startswith("follow")}


def names(*numbers: int) -> list[str]:
    return sorted(f"r{number}" for number in numbers)


async def test_hours_tests_and_countries_that_were_chosen(
    database: Database, public_bucket: PublicBucket
) -> None:
    public_bucket.put(key("2025123123"), runs([1]))  # before the span
    public_bucket.put(key("2026010103"), runs([2, 3]))
    public_bucket.put(key("2026010104", "UG"), runs([4], country="UG"))
    public_bucket.put(key("2026010104", "TZ"), runs([5], country="TZ"))
    public_bucket.put(key("2026010104", test="ndt"), [{"test_name": "ndt"}])
    chosen = FileSelection(("telegram",), ("KE", "UG"))
    await followed(database, public_bucket.url, selection=chosen)
    assert await stored_runs(database) == names(2, 3, 4)
    assert await counted(database) == {"follow_runs ooni": 3}
    async with database.reading() as connection:
        (progress,) = await progress_of(connection)
    assert progress.through == NEW_YEAR + 5 * HOUR_MS
    assert (progress.since, progress.caught_up, progress.waits) == (NEW_YEAR, True, "")
    # Another country: its hours are read from the beginning.
    await followed(database, public_bucket.url)
    assert await stored_runs(database) == names(2, 3, 4, 5)


async def test_an_hour_is_stored_whole_while_the_place_is_stored_often(
    database: Database, public_bucket: PublicBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "SAVES_SECONDS", 0.0)
    for number, country in enumerate(("KE", "TZ", "UG", "ZM")):
        public_bucket.put(key("2026010103", country), runs([number], country=country))
    stored: list[int] = []
    read: list[int] = []
    real, add = database.facts.add_followed, Unsaved.add

    async def add_followed(
        batches: Sequence[AdmittedBatch], source: str, news: FollowedNews
    ) -> Added:
        stored.append(len(news.files))
        return await real(batches, source, news)

    asked = itertools.count()
    fetch = Bucket.fetch

    def added(held: Unsaved, *rest: Any) -> None:
        add(held, *rest)
        read.append(len(stored))

    async def slow(bucket: Bucket, file: SourceFile, into: IO[bytes]) -> None:
        before = next(asked)
        await eventually(lambda: len(read) >= before, "the file before was read")
        if before:
            twice = read[before - 1] + 2
            await eventually(lambda: len(stored) >= twice, "the place was stored since")
        await fetch(bucket, file, into)

    monkeypatch.setattr(Unsaved, "add", added)
    monkeypatch.setattr(database.facts, "add_followed", add_followed)
    monkeypatch.setattr(Bucket, "fetch", slow)
    await followed(database, public_bucket.url)
    assert [files for files in stored if files] == [4]
    assert await stored_runs(database) == names(0, 1, 2, 3)


async def test_files_that_come_late_grow_or_are_cut(
    database: Database, public_bucket: PublicBucket
) -> None:
    whole = lines_file(runs(range(40)))
    public_bucket.send(key("2026010103"), whole[: len(whole) * 2 // 3])
    public_bucket.put(key("2026010104"), runs([50]))
    await followed(database, public_bucket.url)
    some = await stored_runs(database)
    assert 1 < len(some) < 41
    assert (await counted(database))["follow_failures ooni truncated"] == 1
    public_bucket.send(key("2026010103"), whole)
    public_bucket.put(key("2026010104"), runs([50, 51]))
    public_bucket.put(key("2026010102"), runs([60]))  # of an older hour
    await followed(database, public_bucket.url)
    assert await stored_runs(database) == names(*range(40), 50, 51, 60)
    assert (await counted(database))["follow_runs ooni"] == 43
    await followed(database, public_bucket.url)
    assert (await counted(database))["follow_runs ooni"] == 43


async def test_posts_are_read_until_their_lines_are_there(
    database: Database, public_bucket: PublicBucket
) -> None:
    lines = key("2026010103")
    public_bucket.send(lines.replace(".jsonl.", ".tar."), posts_file(runs([1, 2])))
    await followed(database, public_bucket.url)
    assert await stored_runs(database) == names(1, 2)
    public_bucket.put(lines, runs([1, 2, 3]))
    await followed(database, public_bucket.url)
    assert await stored_runs(database) == names(1, 2, 3)
    assert (await counted(database))["follow_runs ooni"] == 3


@pytest.mark.parametrize("small", [0, follower.SMALL_BYTES], ids=["in a thread", "at once"])
async def test_a_line_that_is_no_run_costs_no_other(
    database: Database, public_bucket: PublicBucket, monkeypatch: pytest.MonkeyPatch, small: int
) -> None:
    monkeypatch.setattr(follower, "SMALL_BYTES", small)
    public_bucket.put(key("2026010103"), [*runs([1]), {"test_keys": 7}, *runs([2])])
    await followed(database, public_bucket.url)
    assert await stored_runs(database) == names(1, 2)
    assert (await counted(database))["follow_failures ooni refused"] == 1


async def test_a_file_that_always_fails_holds_up_no_other_and_is_come_back_to(
    database: Database, public_bucket: PublicBucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "FIRST_REST_SECONDS", 0.001)
    later = NEW_YEAR + 10 * DAY_MS
    for number, hour in enumerate(("2026010103", "2026010104", "2026011000")):
        public_bucket.put(key(hour), runs([number], hour=number))
    async with FaultyBucket(public_bucket.url, 1, busy=0, cut=0) as faulty:
        faulty.broken.add(key("2026010103"))
        await followed(database, faulty.url, now=later)
        assert await stored_runs(database) == names(1, 2)
        assert (await counted(database))["follow_failures ooni unreadable"] == 1
        async with database.reading() as connection:
            (progress,) = await progress_of(connection)
        assert progress.waits == f"{key('2026010103')}: HTTP 500 Internal Server Error"
        # Another process, which lists only the last week by itself.
        faulty.broken.clear()
        await followed(database, faulty.url, now=later)
    assert await stored_runs(database) == names(0, 1, 2)
    assert (await counted(database))["follow_runs ooni"] == 3


async def test_a_changed_layout_is_one_clear_error(
    database: Database, public_bucket: PublicBucket
) -> None:
    public_bucket.put("jsonl/2026/01/01/03/KE_telegram.jsonl.gz", runs([1]))
    with pytest.raises(ExceptionGroup) as nothing:
        await followed(database, public_bucket.url, now=NEW_YEAR + 30 * HOUR_MS)
    assert nothing.group_contains(LayoutError, match=r"at its top are jsonl/.*newer version")
    public_bucket.put("raw/20260101/KE/03/x.jsonl.gz", runs([1]))
    with pytest.raises(ExceptionGroup) as strange:
        await followed(database, public_bucket.url)
    assert strange.group_contains(LayoutError, match="'raw/20260101/KE/' is no hour")


def _renamed(some: list[dict[str, Any]], old: str, new: str) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(one).replace(f'"{old}"', f'"{new}"')) for one in some]


@pytest.mark.parametrize(
    ("key_of_today", "reason"),
    [
        ("test_keys", "not an OONI measurement: no test_keys"),
        ("tcp_connect", "no step at an endpoint of the catalogue"),
    ],
)
async def test_a_changed_form_of_measurements_is_one_clear_error(
    database: Database, public_bucket: PublicBucket, key_of_today: str, reason: str
) -> None:
    known, strange = runs(range(10)), _renamed(runs(range(10, 400)), key_of_today, "of_tomorrow")
    public_bucket.put(key("2026010103"), [*strange[:190], *known])
    await followed(database, public_bucket.url)
    assert await stored_runs(database) == names(*range(10))
    stored = await counted(database)
    public_bucket.put(key("2026010104"), strange[190:])
    with pytest.raises(ExceptionGroup) as changed:
        await followed(database, public_bucket.url)
    text = f"2026010104.*200 runs in a row hold nothing that is read .{reason}.: "
    assert changed.group_contains(SourceError, match=text)
    assert await counted(database) == stored  # a newer version begins there


async def test_every_run_is_stored_once_when_it_is_killed_midway(
    tmp_path: Path, public_bucket: PublicBucket
) -> None:
    file = tmp_path / "store.sqlite"
    url = await migrated(file)
    yesterday = time.strftime("%Y%m%d", time.gmtime(time.time() - 86_400))
    for hour in range(8):
        numbers = range(hour * 60, hour * 60 + 60)
        public_bucket.put(key(f"{yesterday}{hour:02}"), runs(numbers))
    command = [sys.executable, "-m", "monitor.commands.main", "follow", "ooni", "--once"]
    command += ["--database", url, "--source", public_bucket.url, "--since", "3d"]
    process = subprocess.Popen([*command, "--rate", "0.002"], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + HANG_SECONDS
    while files_read(file) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(HANG_SECONDS)
    assert files_read(file) < 8
    ended = subprocess.run(command, capture_output=True, text=True, timeout=HANG_SECONDS)
    assert ended.returncode == 0, ended.stderr
    async with await open_database(url) as database:
        assert await stored_runs(database) == names(*range(480))
        assert await counted(database) == {"follow_runs ooni": 480}


def files_read(store: Path) -> int:
    with contextlib.closing(sqlite3.connect(store)) as connection:
        return int(connection.execute("SELECT count(*) FROM followed_file").fetchone()[0])
