# SPDX-License-Identifier: Apache-2.0
"""How quickly pages, API and metrics answer over a large store: `./scripts/bench pages`.

Fills a store (`benchmarks.size.fill`), starts `reachwatch serve` over it, and asks for every kind
of page with several requests at once. Prints the median, the 95th percentile and the compressed
size of each, and whether it reaches its goal; exit 1 when one is missed and `--strict` is given.

    ./scripts/bench pages --measurements 1000000            SQLite, in a temporary directory
    ./scripts/bench pages --measurements 10000000 --postgres
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.size.fill import Fleet, Size, fill
from benchmarks.world.figures import percentile
from tests.world.mosquitto import free_port
from tests.world.postgres import PostgreSQL

AT_ONCE = 20
LARGEST_BYTES = 60_000
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Page:
    """An address, and the 95th percentile that it must not exceed."""

    path: str
    goal_ms: float = 100.0


def pages(fleet: Fleet) -> list[Page]:
    """One of every kind of page and list."""
    event = fleet.events()[0].id
    country, asn = fleet.asns[0]
    return [
        Page("/", 50),
        Page("/metrics", 250),
        Page("/s"),
        Page("/s/wechat"),
        Page("/c"),
        Page(f"/c/{country}"),
        Page(f"/as/{asn}"),
        Page("/v"),
        Page(f"/v/{fleet.probes[2][0]}"),
        Page(f"/e/{event}"),
        Page("/status"),
        Page("/api/v1/events"),
        Page("/api/v1/services"),
        Page("/api/v1/countries"),
        Page("/api/v1/networks"),
        Page("/api/v1/vantages"),
        Page("/api/v1/measurements?limit=100"),
        Page("/api/v1/measurements?service=wechat&country=RU&limit=100"),
        Page("/api/v1/timeline?service=wechat&limit=100"),
    ]


@contextmanager
def server(url: str, interval_ms: int) -> Iterator[str]:
    """`reachwatch serve` over a store; gives its address."""
    address = f"127.0.0.1:{free_port()}"
    command = [
        *(sys.executable, "-m", "monitor.commands.main", "serve", "--database", url),
        *("--http", address, "--interval", str(interval_ms // 1000)),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


async def measure(base: str, page: Page, repeats: int) -> tuple[list[float], int, str]:
    """Milliseconds of each request, compressed bytes, and what went wrong (empty when nothing)."""
    took: list[float] = []
    size, wrong = 0, ""
    turns = asyncio.Semaphore(AT_ONCE)
    limit = aiohttp.ClientTimeout(total=PATIENCE_SECONDS)
    async with aiohttp.ClientSession(auto_decompress=False, timeout=limit) as session:

        async def once() -> None:
            nonlocal size, wrong
            async with turns:
                began = time.perf_counter()
                try:
                    async with session.get(base + page.path) as answer:
                        size = len(await answer.read())
                        if answer.status != 200:
                            wrong = f"status {answer.status}"
                except TimeoutError:
                    wrong = f"no answer within {PATIENCE_SECONDS:g} s"
                took.append((time.perf_counter() - began) * 1000)

        await once()
        if took[0] > 10_000:
            return took, size, wrong
        took.clear()
        async with asyncio.TaskGroup() as group:
            for _ in range(repeats):
                group.create_task(once())
    return took, size, wrong


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


async def run(url: str, size: Size, repeats: int) -> bool:
    """Fill, serve, ask; True when every goal was reached."""
    began = time.perf_counter()
    fleet = await fill(url, size, int(time.time() * 1000))
    print(f"filled with {size.measurements:,} measurements in {time.perf_counter() - began:.0f} s")
    reached = True
    with server(url, size.interval_ms) as base:
        print(f"ready after {await ready(base):.1f} s\n")
        print(f"{'page':<58} {'median':>8} {'p95':>8} {'goal':>6} {'bytes':>8}")
        for page in pages(fleet):
            took, sent, wrong = await measure(base, page, repeats)
            high = percentile(took, 0.95)
            good = not wrong and high <= page.goal_ms and sent <= LARGEST_BYTES
            reached &= good
            print(
                f"{page.path:<58} {statistics.median(took):>8.1f} {high:>8.1f} "
                f"{page.goal_ms:>6.0f} {sent:>8,} {'reached' if good else 'MISSED'} {wrong}",
                flush=True,
            )
    return reached


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--measurements", type=int, default=1_000_000)
    parser.add_argument("--probes", type=int, default=250)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--countries", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=100, help="requests of each page")
    parser.add_argument("--postgres", action="store_true", help="a PostgreSQL server of its own")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    given = parser.parse_args()
    size = Size(given.measurements, given.probes, given.networks, given.countries)
    if given.postgres:
        postgres = PostgreSQL()
        postgres.start()
        try:
            reached = asyncio.run(run(postgres.fresh(), size, given.repeats))
        finally:
            postgres.stop()
    else:
        with tempfile.TemporaryDirectory(prefix="reachwatch-bench-") as directory:
            url = f"sqlite+aiosqlite:///{directory}/store.db"
            reached = asyncio.run(run(url, size, given.repeats))
    return 1 if given.strict and not reached else 0


if __name__ == "__main__":
    sys.exit(main())
