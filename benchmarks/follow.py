# SPDX-License-Identifier: Apache-2.0
"""Whether OONI's bucket is followed exactly once, and how fast: `./scripts/bench follow`.

Against a real S3 server on loopback (moto's), with made-up runs in the shape and size of real ones:

    once  two days of hours while 3 % of the requests get 503 and 3 % of the files break off; a file
          that is cut and replaced later, one that grows, a `.tar.gz` of posts, hours that arrive
          late; the follower is killed at random (`--kills`). Every run is stored exactly once, its
          memory stays flat, and the events are those of `import` of the same files. One file always
          gets 500 until the last follower starts.
    day   one day of real density (`--runs`), or several (`--days`): followed, judged and shown by
          `up --follow`, pinned to one core, the server on the other. Of several, each day's
          processor time shows whether a growing store makes it dearer.
    year  the conclusions of some hours of real density, repeated until there is a year of them, on
          SQLite: how large that is, and how long each page takes that nobody asked for before.
          Only when it is asked for.

Prints the figures that docs/evaluation/following.md quotes, and `reached` or `MISSED` for each
goal; exit 1 when one is missed and `--strict` is given.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.following import year
from benchmarks.following.faulty import FaultyBucket
from benchmarks.following.runs import TESTS, Block, Run, runs
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.store.database import open_database
from tests.world.bucket import BucketServer, PublicBucket, posts_file
from tests.world.ports import free_port

ONCE_HOURS = 30
COUNTRIES, FULL_DAY = 170, 100_000
"""Fewer runs are those of fewer countries, as densely."""
MOST_SECONDS = 180.0
MONTH_DAYS, MONTH_SECONDS = 30, 7200.0
MOST_BYTES = 500e6
YEAR_HOURS = 6
YEAR_SECONDS = 1.0
"""For a page over a year that nobody asked for before, on a store that is on a disk."""
DAY_MS = 86_400_000
REACHWATCH = (sys.executable, "-m", "monitor.commands.main")
FILE = tuple[int, str, str]
"""Unix hour, country and test."""
_missed: list[str] = []


def goal(name: str, value: object, reached: bool) -> None:
    """Print a goal and whether it is reached."""
    print(f"  {'reached' if reached else 'MISSED '}  {name}: {value}", flush=True)
    if not reached:
        _missed.append(name)


def key(file: FILE, kind: str = "jsonl") -> str:
    """The name of a file in the bucket."""
    hour, country, test = file
    at, name = time.gmtime(hour * 3600), test.replace("_", "")
    stem = f"{time.strftime('%Y%m%d%H', at)}_{country}_{name}.n0.0"
    return f"raw/{time.strftime('%Y%m%d/%H', at)}/{country}/{name}/{stem}.{kind}.gz"


def by_file(some: Iterable[Run]) -> dict[FILE, list[Run]]:
    """Runs by the file that they are published in, an hour after they were made."""
    files: dict[FILE, list[Run]] = defaultdict(list)
    for run in some:
        files[run.at // 3600 + 1, run.country, run.test].append(run)
    return files


def packed(some: Sequence[Run]) -> bytes:
    """A `.jsonl.gz`."""
    return gzip.compress(b"".join(run.line for run in some), 1)


def follow(data: Path, url: str, *words: str) -> subprocess.Popen[bytes]:
    """A follower with a log in the data directory."""
    command = [*REACHWATCH, "follow", "ooni", "--data", str(data), "--source", url]
    with (data / "follow.log").open("ab") as log:
        return subprocess.Popen([*command, "--since", "5d", *words], stderr=log, stdout=log)


async def ended(process: subprocess.Popen[bytes], seconds: float) -> tuple[bool, int]:
    """Wait for a process; whether it has ended, and how much memory it had at most."""
    most, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return True, most
        try:
            most = max(most, psutil.Process(process.pid).memory_info().rss)
        except psutil.NoSuchProcess:
            pass
        await asyncio.sleep(0.05)
    return False, most


def rows(data: Path, query: str) -> list[tuple[str, int]]:
    """The answer of a store to a query of two columns."""
    with closing(sqlite3.connect(data / "reachwatch.db")) as connection:
        return connection.execute(query).fetchall()


def measurements(data: Path) -> dict[str, int]:
    """How often the id of each measurement is stored."""
    return dict(rows(data, "SELECT hex(id), count(*) FROM measurement GROUP BY id"))


def replayed(data: Path) -> bytes:
    """The events that follow from a store."""
    command = [*REACHWATCH, "replay", "--data", str(data), "--json"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def tally(data: Path) -> dict[str, int]:
    """The counters of a store."""
    return dict(rows(data, "SELECT name || ' ' || reason, n FROM tally"))


def imported_store(folder: Path, files: Mapping[FILE, Sequence[Run]]) -> Path:
    """The same files in a store, by `import ooni`."""
    copies = folder / "files"
    copies.mkdir()
    for place, file in enumerate(sorted(files)):
        (copies / f"{place:05}.jsonl.gz").write_bytes(packed(files[file]))
    data = folder / "imported"
    data.mkdir()
    command = [*REACHWATCH, "import", "ooni", "--data", str(data)]
    subprocess.run([*command, *map(str, sorted(copies.iterdir()))], check=True, capture_output=True)
    return data


def started_up(folder: Path, url: str, port: int) -> subprocess.Popen[bytes]:
    """The whole monitor on one core, following."""
    command = ["taskset", "-c", "0", *REACHWATCH, "up", "--data", str(folder / "day")]
    command += ["--http", f"127.0.0.1:{port}", "--mqtt", "127.0.0.1:0", "--no-local-probe"]
    command += ["--follow", "ooni", "--source", url, "--since", "31d", "--rate", "100"]
    with (folder / "up.log").open("wb") as log:
        return subprocess.Popen(command, stderr=log, stdout=log)


async def once(bucket: PublicBucket, folder: Path, kills: int, seed: int) -> None:
    """Every run exactly once."""
    print(f"once: {ONCE_HOURS} hours, {kills} kills, seed {seed}")
    chance = random.Random(seed)
    first = int(time.time()) // 3600 - ONCE_HOURS - 3
    middle = (first + 20) * 3600
    blocks = (Block("telegram", 64_512, middle, middle + 20 * 3600),)
    files = by_file(runs(6, range(first, first + ONCE_HOURS), 3.0, blocks, seed))
    names = sorted(files)
    late = {file for file in names if first + 10 <= file[0] < first + 20}
    at_first = [file for file in names if file not in late]
    cut, grows, posts = chance.sample([f for f in at_first if len(files[f]) > 2], 3)
    for file in at_first:
        body = packed(files[file])
        if file == cut:
            body = body[: len(body) * 2 // 3]
        elif file == grows:
            body = packed(files[file][:1])
        elif file == posts:
            lines = [json.loads(run.line) for run in files[file]]
            bucket.send(key(file, "tar"), posts_file(lines))
            continue
        bucket.send(key(file), body)
    data = folder / "followed"
    data.mkdir()
    most = killed = 0
    async with FaultyBucket(bucket.url, seed) as faulty:
        broken = chance.choice([file for file in at_first if file not in (cut, grows, posts)])
        faulty.broken.add(key(broken))
        while killed < kills:
            process = follow(data, faulty.url)
            _, memory = await ended(process, chance.uniform(2.0, 6.0))
            most, killed = max(most, memory), killed + 1
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            if killed == kills // 2:
                for file in (*late, cut, grows):
                    bucket.send(key(file), packed(files[file]))
        faulty.broken.clear()
        # Over everything: hours that are older than what was read are listed again.
        process = follow(data, faulty.url, "--once")
        finished, memory = await ended(process, 600)
        most = max(most, memory)
        goal("the last follower ends", process.poll(), finished and process.returncode == 0)
        print(f"  {faulty.faults} faults of the server")
    imported = imported_store(folder, files)
    stored, wanted = measurements(data), measurements(imported)
    number = sum(map(len, files.values()))
    counts = tally(data)
    goal("every measurement exactly once", f"{len(stored)} of {len(wanted)}",
         stored == wanted == dict.fromkeys(wanted, 1))  # fmt: skip
    goal("runs counted once", f"{counts.get('follow_runs ooni')} of {number}",
         counts.get("follow_runs ooni") == number)  # fmt: skip
    events = replayed(data)
    goal("the same events as from import", f"{len(events.splitlines())} events",
         events == replayed(imported) and bool(events))  # fmt: skip
    goal("memory at most 500 MB", f"{most / 1e6:.0f} MB", most <= MOST_BYTES)


def fetched(url: str) -> bytes:
    """An answer; empty while there is none."""
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return bytes(answer.read())
    except OSError:
        return b""


async def day(bucket: PublicBucket, folder: Path, number: int, days: int, seed: int) -> None:
    """Days of real density, from the first start to the events on the pages; `number` runs each."""
    today = int(time.time()) // 86_400 * 24
    hours = range(today - 24 * days, today)
    noon = (today - 10) * 3600
    blocks = (Block("telegram", 64_512, noon, noon + 86_400),)
    countries = max(2, COUNTRIES * number // FULL_DAY)
    each = number / (24 * countries * len(TESTS))
    files = by_file(runs(countries, hours, each, blocks, seed))
    total = sum(map(len, files.values()))
    size = 0
    for file in sorted(files):
        size += len(body := packed(files[file]))
        bucket.send(key(file), body)
    print(f"day: {total:,} runs in {len(files):,} files, {size / 1e6:.0f} MB, seed {seed}")
    data, port = folder / "day", free_port()
    data.mkdir()
    url = f"http://127.0.0.1:{port}"
    began, most, read_at, shown_at = time.monotonic(), 0, 0.0, 0.0
    events: Sequence[object] = ()
    last = today * 3_600_000 // DAY_MS - days
    process = started_up(folder, bucket.url, port)
    try:
        family = psutil.Process(process.pid)
        while process.poll() is None and time.monotonic() - began < 1800 and not shown_at:
            await asyncio.sleep(1)
            members = [family, *family.children(recursive=True)]
            most = max(most, *(member.memory_info().rss for member in members))
            status: dict[str, Any] = json.loads(fetched(f"{url}/status.json") or b"{}")
            followed = (status.get("followed") or [{}])[0]
            passed = time.monotonic() - began
            if not read_at and followed.get("runs") == total:
                read_at = passed
                by_process = {m.cmdline()[3]: sum(m.cpu_times()[:2]) for m in members}
                print(f"  followed after {passed:.0f} s; processor time {by_process}", flush=True)
            spent = family_seconds(family)
            if days > 1 and (through := followed.get("through") or 0) // DAY_MS > last:
                last = through // DAY_MS
                print(
                    f"  {passed:.0f} s, {spent:.0f} of the processor, until day {last}", flush=True
                )
            if not read_at:
                continue
            events = json.loads(fetched(f"{url}/api/v1/events") or b"{}").get("events", ())
            if status.get("waiting") == 0 and events:
                shown_at = passed
        shown = f"{shown_at:.0f} s, {spent:.0f} s of processor time, {len(events)} events"
        print(f"  followed, judged and shown: {shown}")
        if number >= FULL_DAY and days == 1:
            name = "followed, judged and shown in 180 s on one core"
            goal(name, f"{shown_at:.0f} s", 0 < shown_at <= MOST_SECONDS)
        if days > 1:
            month, work = (each * MONTH_DAYS * FULL_DAY / total for each in (shown_at, spent))
            name = "30 days of real density in two hours, at this rate"
            figures = f"{month / 60:.0f} min, {work / 60:.0f} of processor time"
            goal(name, figures, 0 < month <= MONTH_SECONDS)
        goal("memory of a process at most 500 MB", f"{most / 1e6:.0f} MB", most <= MOST_BYTES)
        store = sum(path.stat().st_size for path in data.glob("reachwatch.db*"))
        print(f"  {store / total:.0f} bytes a run in the store")
    finally:
        process.terminate()
        process.wait(60)


def hours_of_a_day(folder: Path, number: int, seed: int) -> Path:
    """A store with the first hours of a day of `number` runs."""
    hours = range(first := int(time.time()) // 86_400 * 24 - 24, first + YEAR_HOURS)
    countries = max(2, COUNTRIES * number // FULL_DAY)
    each = number / (24 * countries * len(TESTS))
    return imported_store(folder, by_file(runs(countries, hours, each, (), seed)))


async def conclude(data: Path) -> None:
    """Judge all that a store holds."""
    async with await open_database(f"sqlite+aiosqlite:///{data / 'reachwatch.db'}") as database:
        detector = Detector(database, Policy(), "bench", lambda: int(time.time() * 1000))
        while await detector.run_once():
            pass


def pages_of_a_year(data: Path) -> None:
    """Repeat what a store concludes until it is a year, and ask for pages."""
    began = time.monotonic()
    rows = year.stretch(data / "reachwatch.db", YEAR_HOURS)
    size = sum(path.stat().st_size for path in data.glob("reachwatch.db*"))
    passed = time.monotonic() - began
    print(f"year: {rows:,} cells, {size / 1e9:.2f} GB, made in {passed:.0f} s", flush=True)
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [*REACHWATCH, "serve", "--data", str(data), "--http", f"127.0.0.1:{port}"]
    with (data / "serve.log").open("wb") as log:
        process = subprocess.Popen(command, stderr=log, stdout=log)
    try:
        server = psutil.Process(process.pid)
        while process.poll() is None and not fetched(f"{url}/readyz"):
            time.sleep(0.2)
        for path in year.PATHS:
            spent, asked = family_seconds(server), time.monotonic()
            answer = fetched(url + path)
            took, spent = time.monotonic() - asked, family_seconds(server) - spent
            figures = f"{took * 1000:.0f} ms, {spent * 1000:.0f} of the processor"
            reached = bool(answer) and took <= YEAR_SECONDS
            goal(f"{path} within a second", f"{figures}, {len(answer) / 1e3:.0f} kB", reached)
    finally:
        process.terminate()
        process.wait(60)


def family_seconds(process: psutil.Process) -> float:
    """The processor time of a process and all that it has started."""
    members = [process, *process.children(recursive=True)]
    return float(sum(sum(member.cpu_times()[:2]) for member in members))


async def main() -> int:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("once", "day", "year"))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--runs", type=int, default=FULL_DAY)
    parser.add_argument("--days", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    given = parser.parse_args()
    with closing(BucketServer()) as server, tempfile.TemporaryDirectory() as folder:
        if given.only == "year":
            data = hours_of_a_day(Path(folder), given.runs, given.seed)
            await conclude(data)
            pages_of_a_year(data)
        if given.only in (None, "once"):
            await once(server.fresh(), Path(folder), given.kills, given.seed)
        if given.only in (None, "day"):
            await day(server.fresh(), Path(folder), given.runs, given.days, given.seed)
    return int(bool(_missed) and given.strict)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
