# SPDX-License-Identifier: Apache-2.0
"""What becomes slower as a store grows, and what it costs to drop a day: `./scripts/bench grow`.

Fills stores of 1, 3 and 10 million measurements (`benchmarks.size.fill`: 1,000 probes, 400
networks, 40 countries, a million measurements a day), and measures each in the same way:

    start     seconds from `reachwatch serve` to `/readyz`, and processor time
    pages     the slowest first answer, and p95 in bursts of twenty requests at once
    ingest    measurements a second that are added, and processor time of each
    replay    measurements a second that are read, judged and folded: those that were added
    prune     seconds to drop the oldest day, for a million measurements; bytes that the store gave
              back, as a share of what the day took
    disk      bytes a measurement

Prints a table, and writes it as a picture for docs/evaluation/storage.md with `--picture`.
Processor times are those of this process, without the database's own on PostgreSQL. Exit 1 when a
goal is missed and `--strict` is given.

    ./scripts/bench grow                                   both databases, 1, 3 and 10 million
    ./scripts/bench grow --millions 1,3,10,30 --picture docs/evaluation/grow.svg
    ./scripts/bench grow --millions 1 --only sqlite        a quick look
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.pages import Kind, measure, processor_ms, ready, serve
from benchmarks.size.fill import Size, fill
from benchmarks.size.picture import Line, picture
from benchmarks.size.rounds import TARGETS, Rounds
from benchmarks.world.figures import percentile
from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding
from monitor.detection.policy import Policy
from monitor.detector.round_reader import RoundReader
from monitor.store.database import Database, open_database
from monitor.store.days import DAY_MS
from monitor.store.reading.days import list_days
from monitor.store.reading.progress import list_services, store_bytes
from monitor.store.records import Conclusions
from monitor.store.retention import prune
from tests.world.postgres import PostgreSQL

A_DAY = 1_000_000
ADDED_ROUNDS = 4
ADDED_VANTAGES = 50
GROUP = 8
"""Batches that are committed together, about a thousand measurements."""
GOALS = {
    "start": (3.0, "most"),
    "ingest": (8_000.0, "least"),
    "replay": (8_000.0, "least"),
    "prune": (10.0, "most"),
}
GOALS_POSTGRESQL = {"prune": (1.0, "most")}
FLAT = 1.3
"""Pages may take so many times what they take in the smallest store."""


@dataclass
class Grown:
    """One store's figures; milliseconds, seconds, measurements a second and bytes."""

    database: str
    measurements: int
    start: float = 0.0
    start_cpu: float = 0.0
    first: float = 0.0
    p95: float = 0.0
    ingest: float = 0.0
    ingest_us: float = 0.0
    replay: float = 0.0
    replay_us: float = 0.0
    prune: float = 0.0
    prune_cpu: float = 0.0
    given_back: float = 0.0
    disk: float = 0.0
    load: float = 0.0


def kinds(fleet_asn: int) -> list[Kind]:
    """Pages of each sort: the present, a place, a list, a history."""
    paths = ("/", "/metrics", "/s/wechat", "/c/RU", f"/as/{fleet_asn}", "/v", "/status")
    lists = ("measurements?country=RU", "services", "timeline?service=wechat")
    return [Kind(path, (path,)) for path in (*paths, *(f"/api/v1/{name}" for name in lists))]


async def pages(url: str, size: Size, asn: int, event: Conclusions, grown: Grown) -> None:
    """Start the server, and ask."""
    database = await open_database(url)

    async def conclude() -> None:
        await database.conclusions.save((event,), 0)

    try:
        began = time.perf_counter()
        with serve(url, size.interval_ms) as (base, process):
            await ready(base)
            grown.start = time.perf_counter() - began
            grown.start_cpu = processor_ms(process) / 1000
            took: list[float] = []
            for kind in kinds(asn):
                found = await measure(base, process, kind, 3, conclude)
                grown.first = max(grown.first, found.first)
                took += found.took
            grown.p95 = percentile(took, 0.95)
    finally:
        await database.close()


async def ingest(database: Database, grown: Grown) -> list[int]:
    """Add rounds of a small fleet; return the rounds."""
    interval = 300_000
    newest = int(time.time() * 1000) // interval * interval - interval
    # Numbers that the filled store has not used: ids follow from them.
    first = 10**6
    fleet = Rounds(ADDED_VANTAGES, newest - (first + ADDED_ROUNDS) * interval, interval)
    batches = [batch for n in range(ADDED_ROUNDS) for batch in fleet.made(first + n)]
    count = sum(map(len, batches))
    wall, cpu = time.perf_counter(), time.process_time()
    new = 0
    for start in range(0, len(batches), GROUP):
        some = [one for batch in batches[start : start + GROUP] for one in batch]
        new += (await database.facts.add(some, ())).new
    grown.ingest = count / (time.perf_counter() - wall)
    grown.ingest_us = 1e6 * (time.process_time() - cpu) / count
    assert new == count, "the ids of what is added must be new"
    return [fleet.start + (first + n) * interval for n in range(ADDED_ROUNDS)]


async def replay(database: Database, rounds: Sequence[int], grown: Grown) -> None:
    """Read, judge and fold these rounds."""
    async with database.reading() as connection:
        services = await list_services(connection)
    policy = Policy()
    foldings = {name: Folding(initial(name), policy, keep=False) for name in services}
    count = ADDED_ROUNDS * ADDED_VANTAGES * len(TARGETS)
    wall, cpu = time.perf_counter(), time.process_time()
    reader = RoundReader(database.facts, policy)
    for part in reader.parts(dict.fromkeys(services, rounds)):
        await reader.fold(foldings, part)
    grown.replay = count / (time.perf_counter() - wall)
    grown.replay_us = 1e6 * (time.process_time() - cpu) / count


async def drop(url: str, database: Database, grown: Grown) -> None:
    """Drop the oldest day."""
    async with database.reading() as connection:
        (day, count), *_ = await list_days(connection)
        before = await store_bytes(connection)
    wall, cpu = time.perf_counter(), time.process_time()
    pruned = await prune(url, (day + 1) * DAY_MS)
    took = time.perf_counter() - wall
    grown.prune = 1e6 * took / count
    grown.prune_cpu = 1e6 * (time.process_time() - cpu) / count
    async with database.reading() as connection:
        after = await store_bytes(connection)
    grown.given_back = (before - after) / (pruned.measurements * grown.disk)


async def grow(url: str, measurements: int) -> Grown:
    """Fill a store and measure it."""
    size = Size(
        measurements, probes=1000, networks=400, countries=40, days=max(2, measurements // A_DAY)
    )
    grown = Grown(url.partition("+")[0], measurements, load=os.getloadavg()[0])
    fleet = await fill(url, size, int(time.time() * 1000))
    event = fleet.events()[0]
    concluded = Conclusions(service=event.service, round=event.updated, state=b"", events=(event,))
    await pages(url, size, fleet.asns[0][1], concluded, grown)
    database = await open_database(url)
    try:
        async with database.reading() as connection:
            days = await list_days(connection)
            grown.measurements = sum(n for _, n in days)  # nine rounds at least
            grown.disk = await store_bytes(connection) / grown.measurements
        rounds = await ingest(database, grown)
        await replay(database, rounds, grown)
        await drop(url, database, grown)
    finally:
        await database.close()
    return grown


def judged(every: Sequence[Grown]) -> Iterator[tuple[bool, str]]:
    """Whether each goal was reached, and a line that says so."""
    for one in every:
        goals = GOALS | (GOALS_POSTGRESQL if one.database == "postgresql" else {})
        for name, (goal, kind) in goals.items():
            value = getattr(one, name)
            good = value <= goal if kind == "most" else value >= goal
            yield (
                good,
                f"{'reached' if good else 'MISSED '} {one.database} "
                f"{one.measurements / 1e6:.3g} million: {name} {value:,.1f}, at {kind} {goal:,.1f}",
            )
        smallest = next(each for each in every if each.database == one.database)
        if one is not smallest:
            ratio = one.p95 / smallest.p95
            yield (
                ratio <= FLAT,
                f"{'reached' if ratio <= FLAT else 'MISSED '} {one.database} "
                f"{one.measurements / 1e6:.3g} million: pages take {ratio:.2f} times what they "
                f"take at {smallest.measurements / 1e6:.3g} million, at most {FLAT}",
            )


HEADINGS = {
    "start": "start, s",
    "start_cpu": "start, processor s",
    "first": "first answer, ms",
    "p95": "p95 of pages, ms",
    "ingest": "ingest, a second",
    "ingest_us": "ingest, µs",
    "replay": "replay, a second",
    "replay_us": "replay, µs",
    "prune": "prune a million, s",
    "prune_cpu": "prune, processor s",
    "given_back": "bytes given back",
    "disk": "bytes a measurement",
    "load": "load",
}


def table(every: Sequence[Grown]) -> str:
    """The figures as Markdown."""
    lines = [
        "| database | million | " + " | ".join(HEADINGS.values()) + " |",
        "|---|---|" + "---|" * len(HEADINGS),
    ]
    for one in every:
        values = (f"{getattr(one, name):,.4g}" for name in HEADINGS)
        lines.append(
            f"| {one.database} | {one.measurements / 1e6:.3g} | " + " | ".join(values) + " |"
        )
    return "\n".join(lines)


def drawn(every: Sequence[Grown]) -> str:
    """The figures as a picture: a panel each, over the size of the store."""
    panels = []
    for name in ("start", "p95", "ingest_us", "replay_us", "prune", "disk"):
        lines = [
            Line(database, tuple((one.measurements, getattr(one, name)) for one in some))
            for database in dict.fromkeys(one.database for one in every)
            for some in ([one for one in every if one.database == database],)
        ]
        panels.append((HEADINGS[name], lines))
    return picture("A growing store: measurements stored, and what each step takes", panels)


async def run(millions: Sequence[float], databases: Sequence[str]) -> list[Grown]:
    """Measure every store, one after the other."""
    every: list[Grown] = []
    for database in databases:
        for number in millions:
            if database == "sqlite":
                with tempfile.TemporaryDirectory(prefix="reachwatch-grow-") as place:
                    url = f"sqlite+aiosqlite:///{place}/store.db"
                    every.append(await grow(url, int(number * 1e6)))
            else:
                server = PostgreSQL()
                server.start()
                try:
                    every.append(await grow(server.fresh(), int(number * 1e6)))
                finally:
                    server.remove()
            print(table(every[-1:]).splitlines()[-1], flush=True)
    return every


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--millions", default="1,3,10", help="sizes of the stores")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    parser.add_argument("--picture", type=Path, help="write the picture into this SVG file")
    parser.add_argument("--json", type=Path, help="write the figures into this file")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    given = parser.parse_args()
    databases = (given.only,) if given.only else ("sqlite", "postgresql")
    every = asyncio.run(run([float(n) for n in given.millions.split(",")], databases))
    print(f"\n{table(every)}\n")
    reached = True
    for good, line in judged(every):
        reached &= good
        print(line)
    if given.picture:
        given.picture.write_text(drawn(every), encoding="utf-8")
    if given.json:
        figures = [{field.name: getattr(one, field.name) for field in fields(one)} for one in every]
        given.json.write_bytes(msgspec.json.encode(figures))
    return 1 if given.strict and not reached else 0


if __name__ == "__main__":
    sys.exit(main())
