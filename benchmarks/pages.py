# SPDX-License-Identifier: Apache-2.0
"""How quickly pages, API and metrics answer over a large store: `./scripts/bench pages`, which does
the following on SQLite, then on PostgreSQL.

Fills a store (`benchmarks.size.fill`), starts `reachwatch serve` over it, and asks for every kind
of page. Each kind has a few addresses (services, countries, networks, vantages), because the same
page asked again tells nothing about the others:

- `first`: the slowest address of the kind when nobody has asked for it before, alone, after the
  server has finished what it does behind earlier answers and conclusions; `cpu`: the processor time
  that the server takes for it, which a busy machine lengthens less;
- `median`, `p95`: bursts of twenty requests at once over these addresses. Before each burst the
  detector's conclusions of a service are saved anew, so that no answer is still valid.

Last, `clients`: twenty clients at once, then eight, each of which asks for pages that nobody asked
for before (services, countries, networks, vantages, events, lists, Explore, at ranges of all
lengths), so that no answer is shared. Their `cpu` is what the web server and its processes take for
a page; the line below says what the database's server and the clients take on the same machine.

Prints whether each kind reaches its goal (`first` and `p95` within the time, 60 kB compressed), and
how many did; exit 1 when one is missed and `--strict` is given.

    ./scripts/bench pages --measurements 1000000         in a temporary directory
    ./scripts/bench pages --only unseen --database sqlite --measurements 1000000
    ./scripts/bench pages --data DIR     keeps the filled stores; the next run adds what is missing

A kept store is read as a whole before, since a store in use is in the memory of the system: from
the disk a page takes longer.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import aiohttp

from probes.wire.measurement import service_of

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.size.asking import ask_for_all
from benchmarks.size.fill import Fleet, Size, fill
from benchmarks.world.figures import percentile
from monitor.store.database import open_database
from monitor.store.records import Conclusions
from monitor.store.statements import chunks
from monitor.text import words
from monitor.web.present import KEEP_SECONDS
from tests.world.ports import free_port
from tests.world.postgres import PostgreSQL

AT_ONCE = 20
CLIENTS = (AT_ONCE, 8)
ADDRESSES = 5
"""Addresses of one kind that are asked for: what is looked at now is looked at by many."""
HOPELESS_MS = 10_000
"""A kind with an address this slow is not asked twenty times at once."""
DATABASES = ("sqlite", "postgresql")
UNSEEN_MS = 100.0
UNSEEN = (
    "/s/{service}?range={range}",
    "/c/{country}?range={range}",
    "/as/{asn}",
    "/as/{asn}?range={range}",
    "/v/{vantage}",
    "/m/{measurement}",
    "/e/{event}?range={range}",
    "/m?service={service}&country={country}&until={ago}",
    "/m?asn={asn}&counted=no&until={ago}",
    "/m?event={event}",
    "/explore?service={service}&by={by}&per={per}&range={range}",
    "/explore?country={country}&by={by}&per={per}&range={range}",
    "/api/v1/events?service={service}&country={country}&since={ago}",
    "/api/v1/measurements?service={service}&until={ago}",
    "/api/v1/timeline?service={service}&country={country}&since={ago}",
)
Conclude = Callable[[], Awaitable[None]]
LARGEST_BYTES = 60_000
PATIENCE_SECONDS = 300.0
REREAD_SECONDS = KEEP_SECONDS + 0.5
"""After which every process has begun to read again what was concluded."""


@dataclass(frozen=True)
class Kind:
    """Addresses of one kind, and the milliseconds that they must not exceed."""

    name: str
    paths: tuple[str, ...]
    goal_ms: float = 100.0


def kinds(fleet: Fleet) -> list[Kind]:
    """Every kind of page and list, with up to ADDRESSES addresses each."""
    services = sorted({service_of(target) for target in fleet.targets[1:]} - {"wechat"})
    services = ["wechat", *services][:ADDRESSES]
    countries = list(dict.fromkeys(country for country, _ in fleet.asns))[:ADDRESSES]
    asns = [asn for _, asn in fleet.asns[:ADDRESSES]]
    vantages = [probe for probe, *_ in fleet.probes[2 : 2 + ADDRESSES]]
    events = [event.id for event in fleet.events()[:ADDRESSES]]
    witnesses = fleet.witnesses(ADDRESSES)

    def all_of(name: str, values: Sequence[object], **goal: float) -> Kind:
        return Kind(name, tuple(name.format(value) for value in values), **goal)

    def one(path: str, **goal: float) -> Kind:
        return Kind(path, (path,), **goal)

    return [
        one("/", goal_ms=50),
        one("/metrics", goal_ms=250),
        one("/s"),
        all_of("/s/{}", services),
        one("/c"),
        all_of("/c/{}", countries),
        all_of("/as/{}", asns),
        one("/v"),
        all_of("/v/{}", vantages),
        all_of("/m/{}", witnesses),
        all_of("/s/{}?range=90d", services),
        all_of("/c/{}?range=1y", countries),
        all_of("/as/{}?range=7d", asns),
        all_of("/picture.svg?service={}&range=1y", services),
        one("/explore?range=1y"),
        all_of("/compare?country={}&range=90d", countries),
        one("/changes"),
        one("/feed.atom"),
        one("/live"),
        all_of("/badge/{}.svg", services),
        one("/status"),
        one("/api/v1/events"),
        all_of("/api/v1/events?country={}", countries),
        all_of("/api/v1/events?asn={}", asns),
        one("/api/v1/services"),
        all_of("/api/v1/services?service={}", services),
        one("/api/v1/countries"),
        one("/api/v1/networks"),
        one("/api/v1/vantages"),
        one("/api/v1/measurements"),
        all_of("/api/v1/measurements?service={}", services),
        all_of("/api/v1/measurements?country={}", countries),
        all_of("/api/v1/measurements?asn={}", asns),
        all_of("/api/v1/measurements?service=wechat&country={}", countries),
        one("/api/v1/timeline"),
        all_of("/api/v1/timeline?service={}", services),
        all_of("/api/v1/timeline?asn={}&since=90d", asns),
        all_of("/api/v1/timeline?by=network&service={}&since=90d", services),
        all_of("/e/{}", events),
        all_of("/e/{}/rounds", events, goal_ms=1000),
    ]


def unseen(fleet: Fleet, count: int, rng: random.Random) -> list[str]:
    """Addresses of which none is like another, of every kind in turn."""
    services = sorted({service_of(target) for target in fleet.targets[1:]})
    countries = sorted({country for country, _ in fleet.asns} & set(words.COUNTRIES))
    values: dict[str, Sequence[object]] = {
        "service": services,
        "country": countries,
        "asn": [asn for _, asn in fleet.asns],
        "vantage": [probe for probe, *_ in fleet.probes[2:]],
        "event": [event.id for event in fleet.events()],
        "measurement": fleet.witnesses(min(count, len(fleet.probes) - 2)),
        "range": ["24h", "7d", "30d", "90d", "1y"],
        "by": ["function", "technique", "rule"],
        "per": ["country", "network", "time"],
        "ago": [f"{hours}h" for hours in range(1, 24 * fleet.size.days)],
    }
    found: dict[str, None] = {}
    while len(found) < count:
        for form in UNSEEN:
            found[form.format_map({name: rng.choice(some) for name, some in values.items()})] = None
    return list(found)[:count]


@contextmanager
def serve(url: str, interval_ms: int, *more: str) -> Iterator[tuple[str, int]]:
    """`reachwatch serve` over a store, with `more` options; gives its address and process id."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        *(sys.executable, "-m", "monitor.commands.main", "serve", "--database", url),
        *("--http", address, "--interval", str(interval_ms // 1000), *more),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{address}", process.pid
    finally:
        process.terminate()
        process.wait()


@dataclass
class Measured:
    """How one kind did, in milliseconds; the largest compressed answer; what went wrong."""

    first: float = 0.0
    cpu: float = 0.0
    took: list[float] = field(default_factory=list)
    bytes: int = 0
    wrong: str = ""


def processor_ms(process: int) -> float:
    """Processor time of all threads of a process and of its descendants since they began; those
    that have ended are not counted."""
    taken = 0.0
    for thread in Path(f"/proc/{process}/task").glob("*"):
        try:
            taken += int((thread / "schedstat").read_text().split()[0]) / 1e6
            children = (thread / "children").read_text().split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        taken += sum(processor_ms(int(child)) for child in children)
    return taken


async def quiet(process: int) -> None:
    """Wait until a process does nothing, ten seconds at most."""
    idle = 0
    for _ in range(100):
        before = processor_ms(process)
        await asyncio.sleep(0.1)
        idle = idle + 1 if processor_ms(process) - before < 2 else 0
        if idle == 3:
            return


async def measure(base: str, server: int, kind: Kind, bursts: int, conclude: Conclude) -> Measured:
    """Ask for every address alone, then for all in bursts, each after a new conclusion."""
    found = Measured()
    limit = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(
        auto_decompress=False, timeout=limit, connector=connector
    ) as session:

        async def once(path: str) -> float:
            began = time.perf_counter()
            try:
                async with session.get(base + path) as answer:
                    found.bytes = max(found.bytes, len(await answer.read()))
                    if answer.status != 200:
                        found.wrong = f"status {answer.status}"
            except TimeoutError:
                found.wrong = f"no answer within {PATIENCE_SECONDS:g} s"
            return (time.perf_counter() - began) * 1000

        await asyncio.sleep(REREAD_SECONDS)
        await quiet(server)
        for path in kind.paths:
            before = processor_ms(server)
            found.first = max(found.first, await once(path))
            found.cpu = max(found.cpu, processor_ms(server) - before)
            if found.first > HOPELESS_MS:
                found.took.append(found.first)
                return found
        for _ in range(bursts):
            await conclude()
            paths = [kind.paths[n % len(kind.paths)] for n in range(AT_ONCE)]
            found.took += await asyncio.gather(*map(once, paths))
    return found


class Unseen(NamedTuple):
    """How pages did that nobody asked for before, in milliseconds."""

    took: list[float]
    server: float
    """Processor time for each, as are the following."""
    database: float
    clients: float


async def clients(
    base: str, server: int, database: int | None, paths: Sequence[str], at_once: int
) -> Unseen:
    """Ask for all of these with so many clients. `database` is the process of PostgreSQL."""

    def times() -> tuple[float, float, float]:
        theirs = 0.0 if database is None else processor_ms(database)
        return processor_ms(server), theirs, 1000 * time.process_time()

    await quiet(server)
    before = times()
    host, _colon, port = base.removeprefix("http://").partition(":")
    async with asyncio.timeout(PATIENCE_SECONDS):
        took = await ask_for_all(host, int(port), paths, at_once)
    each = ((b - a) / len(took) for a, b in zip(before, times(), strict=True))
    return Unseen(took, *each)


async def ready(base: str) -> float:
    """Seconds until `/readyz` says so."""
    began = time.perf_counter()
    async with aiohttp.ClientSession() as session:
        while time.perf_counter() - began < PATIENCE_SECONDS:
            try:
                async with session.get(f"{base}/readyz") as answer:
                    if answer.status == 200:
                        return time.perf_counter() - began
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)
    raise RuntimeError("the server did not become ready")


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    size: Size
    bursts: int
    pages: int
    """That nobody asked for."""
    only: str | None = None
    """`kinds` or `unseen`; None: both."""
    options: tuple[str, ...] = ()
    """Of `serve`."""


class Tally:
    """Prints a line for each goal, and counts those that were reached."""

    def __init__(self) -> None:
        self.reached = self.missed = 0

    def line(self, text: str, good: bool, wrong: str = "") -> None:
        """Print one, which ends with whether it was reached."""
        self.reached += good
        self.missed += not good
        print(f"{text} {'reached' if good else 'MISSED'} {wrong}".rstrip(), flush=True)


async def every_kind(
    base: str, process: int, fleet: Fleet, bursts: int, conclude: Conclude, tally: Tally
) -> None:
    """Measure each kind of page."""
    for kind in kinds(fleet):
        found = await measure(base, process, kind, bursts, conclude)
        high = percentile(found.took, 0.95)
        slowest = max(high, found.first)
        good = not found.wrong and slowest <= kind.goal_ms and found.bytes <= LARGEST_BYTES
        tally.line(
            f"{kind.name:<52} {found.first:>8.1f} {found.cpu:>7.1f} "
            f"{statistics.median(found.took):>8.1f} "
            f"{high:>8.1f} {kind.goal_ms:>5.0f} {found.bytes:>8,}",
            good,
            found.wrong,
        )


def into_memory(place: Path) -> None:
    """Read a file, or all files of a directory."""
    for path in (place, *place.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 20):
                    pass


async def run(url: str, plan: Plan, postgres: int | None, tally: Tally) -> None:
    """Fill (unless it is full), serve, ask. `postgres` is the process of the database's server."""
    began, size = time.perf_counter(), plan.size
    fleet = await fill(url, size, int(time.time() * 1000))
    print(
        f"{size.measurements:,} measurements, {size.probes} probes, {size.networks} networks, "
        f"{size.countries} countries, {size.days} days, on {url.partition(':')[0]}; "
        f"filled in {time.perf_counter() - began:.0f} s"
    )
    database = await open_database(url)
    event = fleet.events()[0]
    state = Conclusions(service=event.service, round=event.updated, state=b"", events=(event,))

    async def conclude() -> None:
        await database.conclusions.save((state,), 0)

    try:
        with serve(url, size.interval_ms, *plan.options) as (base, process):
            print(f"ready after {await ready(base):.1f} s\n")
            print(
                f"{'page':<52} {'first':>8} {'cpu':>7} "
                f"{'median':>8} {'p95':>8} {'goal':>5} {'bytes':>8}"
            )
            print(f"(load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)")
            if plan.only != "unseen":
                await every_kind(base, process, fleet, plan.bursts, conclude, tally)
            if plan.only != "kinds":
                paths = unseen(fleet, len(CLIENTS) * plan.pages, random.Random(1))
                for at_once, some in zip(CLIENTS, chunks(paths, plan.pages), strict=True):
                    found = await clients(base, process, postgres, some, at_once)
                    high = percentile(found.took, 0.95)
                    name = f"{at_once} clients, {plan.pages} pages that nobody asked for"
                    tally.line(
                        f"{name:<52} {'':>8} {found.server:>7.1f} "
                        f"{statistics.median(found.took):>8.1f} {high:>8.1f} "
                        f"{UNSEEN_MS:>5.0f} {'':>8}",
                        high <= UNSEEN_MS,
                    )
                    print(
                        f"(processor time of a page beside that: {found.database:.1f} ms of the "
                        f"database's server, {found.clients:.2f} of the clients)"
                    )
                print()
    finally:
        await database.close()


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--measurements", type=int, default=10_000_000)
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--networks", type=int, default=400)
    parser.add_argument("--countries", type=int, default=40)
    parser.add_argument("--bursts", type=int, default=10, help="of twenty requests, each page")
    parser.add_argument("--pages", type=int, default=1000, help="that nobody asked for")
    parser.add_argument("--data", metavar="DIR", type=Path, help="keep the stores there")
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    parser.add_argument("--only", choices=("kinds", "unseen"), help="only these pages")
    parser.add_argument("--processes", metavar="N", help="option of serve")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    given = parser.parse_args()
    plan = Plan(
        Size(given.measurements, given.probes, given.networks, given.countries),
        given.bursts,
        given.pages,
        given.only,
        () if given.processes is None else ("--processes", given.processes),
    )
    tally = Tally()
    with tempfile.TemporaryDirectory(prefix="reachwatch-bench-") as temporary:
        directory = (given.data or Path(temporary)).absolute()
        directory.mkdir(exist_ok=True)
        if given.database != "postgresql":
            into_memory(directory / "store.db")
            url = f"sqlite+aiosqlite:///{directory / 'store.db'}"
            asyncio.run(run(url, plan, None, tally))
        if given.database != "sqlite":
            directory.chmod(0o755)  # its user reads it
            postgres = PostgreSQL(directory=directory / "postgresql")
            into_memory(postgres.directory)
            postgres.start()
            try:
                url = postgres.url("reach1") if postgres.kept else postgres.fresh()
                asyncio.run(run(url, plan, postgres.pid, tally))
            finally:
                postgres.stop()
    print(f"{tally.reached} goals reached, {tally.missed} missed")
    return 1 if given.strict and tally.missed else 0


if __name__ == "__main__":
    sys.exit(main())
