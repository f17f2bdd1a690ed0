# SPDX-License-Identifier: Apache-2.0
"""How many probes a broker and a collector serve: `./scripts/bench fleet`.

`reachwatch up` (embedded broker, collector, detector, pages) or, with `--broker mosquitto`,
mosquitto and `reachwatch collect` as processes; and light probes in this one that speak MQTT by
hand: each connects with its own credentials, subscribes to its acknowledgements, and sends batches
of a round, the next when the last one was acknowledged. With `--every SECONDS` each probe waits for
its turn, as a running fleet does. `--prune N` puts N older measurements into the store beforehand,
and drops their days while the probes send.

    ./scripts/bench fleet                                            1,000 probes, all at once
    ./scripts/bench fleet --broker mosquitto --probes 5000 --every 300 --rounds 1
    ./scripts/bench fleet --every 20 --rounds 4 --prune 300000 [--database postgresql]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.size.fill import Size, fill
from monitor.broker.mosquitto import (
    CONFIGURATION,
    PROBES,
    Passwords,
    write_configuration,
)
from monitor.enrolment import Enrolled
from monitor.listener import connection_limit
from monitor.paths import ensure_secret
from monitor.store.database import open_database
from monitor.store.days import DAY_MS
from probes.catalogue.load import load
from probes.wire import topics
from probes.wire.codec import BatchHeader, decode_ack, encode, encode_batch
from tests.monitor.collector.bench import measurement
from tests.monitor.collector.flood import field, packet, publish
from tests.world.brokers import enrolled_probe
from tests.world.mosquitto import PROGRAM, loopback_layout
from tests.world.ports import free_port
from tests.world.postgres import PostgreSQL
from tests.world.waiting import eventually

ROOT = Path(__file__).resolve().parents[1]
TARGETS = [target.id for target in load(None).targets]
CONNECT_SECONDS = 60.0
"""Of a thousand."""
ACKNOWLEDGED_SECONDS = 2.0
"""p99, of probes that take turns."""
KEEP_ALIVE = 500
"""Seconds, so that nothing need be sent between two batches. Not the 600 that mosquitto allows at
most: 2.0.21 closes some of the clients that ask for just so many, a second after they connected."""
CONNECTING = 50
"""At the same time."""


class Probe:
    """One connection."""

    def __init__(self, who: Enrolled, port: int) -> None:
        self.who, self.port = who, port
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.took: list[float] = []

    async def connect(self) -> None:
        """Until the subscription is granted."""
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        subscribe = b"\x00\x01" + field(topics.ack(self.who.probe)) + b"\x00"
        wanted = packet(8, subscribe)
        user, secret = self.who.user, self.who.secret
        flags = b"\x00\x04MQTT\x04\xc2" + KEEP_ALIVE.to_bytes(2, "big")
        hello = packet(1, flags + field(user) + field(user) + field(secret))
        self.writer.write(hello + b"\x82" + wanted[1:])
        answer = await self.reader.readexactly(4 + 5)
        assert answer[3] == 0, f"refused: {answer.hex()}"

    async def send(self, rounds: int, every: float) -> None:
        """Batches one after another, or one in each period of `every` seconds, at a time of its
        own."""
        began, phase = time.monotonic(), random.random() * every
        for number in range(rounds):
            if every:
                due = began + number * every + phase
                await asyncio.sleep(max(0.0, due - time.monotonic()))
            lines = [
                encode(measurement(self.who.probe, number * len(TARGETS) + index, target=target))
                for index, target in enumerate(TARGETS)
            ]
            payload = encode_batch(BatchHeader(boot="fleet", sequence=number), lines)
            begun = time.monotonic()
            self.writer.write(publish(topics.measurements(self.who.probe), payload))
            while number not in await self._acknowledged():
                pass
            self.took.append(time.monotonic() - begun)

    async def _acknowledged(self) -> tuple[int, ...]:
        head = (await self.reader.readexactly(2))[1]
        size = head & 0x7F
        if head & 0x80:
            size |= (await self.reader.readexactly(1))[0] << 7
        body = await self.reader.readexactly(size)
        return decode_ack(body[2 + int.from_bytes(body[:2], "big") :]).sequences


class Monitor:
    """The processes that are measured, and their log."""

    def __init__(self, folder: Path, url: str, mosquitto: bool) -> None:
        self.folder, self.url, self.mosquitto = folder, url, mosquitto
        self.port, self.http = free_port(), 0
        self.log = folder / "monitor.log"
        self._started: list[subprocess.Popen[bytes]] = []

    async def start(self, probes: int) -> list[Enrolled]:
        """Enrol so many probes, start, and wait until batches would be stored."""
        if self.mosquitto:
            enrolled = await self._enrol(probes)
            await self._start_mosquitto()
        else:
            self.http = free_port()
            self._start(
                *("up", "--data", str(self.folder), "--no-local-probe"),
                *("--mqtt", f"127.0.0.1:{self.port}", "--http", f"127.0.0.1:{self.http}"),
            )
            await _listening(self.http)
            enrolled = await self._enrol(probes)
        await _listening(self.port)
        return enrolled

    async def _enrol(self, probes: int) -> list[Enrolled]:
        database = await open_database(self.url)
        try:
            enrolled = [await enrolled_probe(database) for _ in range(probes)]
            if self.mosquitto:
                self._layout = loopback_layout(self.folder, self.port)
                secret = ensure_secret(self.folder / "monitor.secret")
                write_configuration(self.folder, self._layout, secret)
                file = self.folder / PROBES
                await Passwords(file, database.registry, lambda: None).refresh()
        finally:
            await database.close()
        return enrolled

    async def _start_mosquitto(self) -> None:
        self._run([PROGRAM, "-c", str(self.folder / CONFIGURATION)])
        await _listening(self._layout.monitor_port)
        metrics = free_port()
        self._start(
            *("collect", "--broker", f"mqtt://127.0.0.1:{self._layout.monitor_port}"),
            *("--mqtt-secret-file", str(self.folder / "monitor.secret")),
            *("--metrics", f"127.0.0.1:{metrics}"),
        )
        await _listening(metrics)
        await eventually(lambda: "collecting from" in self.log.read_text(), "it collects")

    def _start(self, *words: str) -> None:
        command = [sys.executable, "-m", "monitor.commands.main", *words]
        self._run([*command, "--database", self.url])

    def _run(self, command: Sequence[str]) -> None:
        with self.log.open("ab") as log:
            self._started.append(subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log))

    def cpu(self) -> float:
        """Processor seconds of all processes so far."""
        return sum(sum(psutil.Process(one.pid).cpu_times()[:2]) for one in self._started)

    def memory(self) -> int:
        """MiB of the largest."""
        return max(psutil.Process(one.pid).memory_info().rss for one in self._started) >> 20

    def away(self) -> int:
        """How often a collector was told that the store is away."""
        return self.log.read_text().count("the store is unavailable")

    def end(self) -> None:
        """End all of them and wait."""
        for one in reversed(self._started):
            one.terminate()
            one.wait()

    def kill(self) -> None:
        """The same, without waiting for what they do."""
        for one in self._started:
            one.kill()
            one.wait()


async def _listening(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)


async def _prune(url: str) -> str:
    """Drop all days before today; what it took."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "monitor.commands.main", "db", "prune"),
        *("--older-than", "1d", "--yes", "--database", url),
        stdout=asyncio.subprocess.PIPE,
    )
    begun = time.monotonic()
    said, _ = await process.communicate()
    assert process.returncode == 0, said
    return f"db prune beside it took {time.monotonic() - begun:.1f} s: {said.decode().strip()}"


@dataclass(frozen=True)
class Plan:
    """What is measured."""

    probes: int
    rounds: int
    mosquitto: bool
    every: float
    prune: int


async def fleet(plan: Plan, url: str, folder: Path) -> bool:
    """Measure; whether the goals were reached."""
    connection_limit(plan.probes)
    if plan.prune:
        size = Size(plan.prune, probes=200, networks=100, countries=20, days=3)
        await fill(url, size, int(time.time() * 1000) - 2 * DAY_MS)
    monitor = Monitor(folder, url, plan.mosquitto)
    try:
        everyone = [Probe(who, monitor.port) for who in await monitor.start(plan.probes)]
        at_once = asyncio.Semaphore(CONNECTING)

        again = 0

        async def one(each: Probe) -> None:
            nonlocal again
            async with at_once:
                while True:  # as probes do
                    try:
                        return await each.connect()
                    except (ConnectionError, asyncio.IncompleteReadError):
                        again += 1
                        each.writer.close()
                        await asyncio.sleep(random.random())

        cpu, begun = monitor.cpu(), time.monotonic()
        await asyncio.gather(*map(one, everyone))
        connected = time.monotonic() - begun
        limit = CONNECT_SECONDS * plan.probes / 1000
        print(
            f"{plan.probes} probes connected in {connected:.1f} s (goal {limit:g}): "
            f"{(monitor.cpu() - cpu) / plan.probes * 1000:.2f} ms of processor time each; "
            f"{again} connections were reset and made again"
        )
        cpu, begun = monitor.cpu(), time.monotonic()
        pruning = asyncio.create_task(_prune(url)) if plan.prune else None
        await asyncio.gather(*(each.send(plan.rounds, plan.every) for each in everyone))
        seconds = time.monotonic() - begun
        used = monitor.cpu() - cpu
        if pruning is not None:
            print(await pruning)
        took = sorted(second for each in everyone for second in each.took)
        p99 = took[int(0.99 * len(took))]
        batches = plan.probes * plan.rounds
        print(
            f"{batches} batches of {len(TARGETS)} measurements acknowledged in {seconds:.1f} s: "
            f"{batches * len(TARGETS) / seconds:,.0f} measurements a second, median "
            f"{statistics.median(took):.2f} s, p99 {p99:.2f} s, most {took[-1]:.2f} s; "
            f"{used / batches * 1000:.2f} ms of processor time a batch; {monitor.memory()} MiB; "
            f"told that the store is away: {monitor.away()}; load {os.getloadavg()[0]:.0f}"
        )
        begun = time.monotonic()
        await asyncio.to_thread(monitor.end)
        print(f"ended {time.monotonic() - begun:.1f} s after SIGTERM")
        for each in everyone:
            each.writer.close()
        reached = connected <= limit and not monitor.away()
        if plan.every:
            reached &= p99 <= ACKNOWLEDGED_SECONDS
        print("reached" if reached else "MISSED")
        return reached
    finally:
        monitor.kill()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--broker", choices=("embedded", "mosquitto"), default="embedded")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument(
        "--every", type=float, default=0.0, help="seconds between a probe's batches"
    )
    parser.add_argument("--prune", type=int, default=0, help="measurements to drop meanwhile")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    given = parser.parse_args()
    plan = Plan(given.probes, given.rounds, given.broker == "mosquitto", given.every, given.prune)
    with contextlib.ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="reach-fleet-"))
        url = f"sqlite+aiosqlite:///{place}/reachwatch.db"
        if given.database == "postgresql":
            server = PostgreSQL(durable=True)
            stack.callback(server.remove)
            server.start()
            url = server.fresh()
        reached = asyncio.run(fleet(plan, url, Path(place)))
    return 1 if given.strict and not reached else 0


if __name__ == "__main__":
    sys.exit(main())
