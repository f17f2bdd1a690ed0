# SPDX-License-Identifier: Apache-2.0
"""How many probes the embedded broker serves: `./scripts/bench fleet`.

`reachwatch up` as a process (broker, collector, store on SQLite, detector, pages), and light probes
in this one that speak MQTT by hand: each connects with its own credentials, subscribes to its
acknowledgements, and sends batches of a round, the next when the last one was acknowledged.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from monitor.enrolment import Enrolled
from monitor.listener import connection_limit
from monitor.store.database import open_database
from probes.catalogue.load import load
from probes.wire import topics
from probes.wire.codec import BatchHeader, decode_ack, encode, encode_batch
from tests.monitor.collector.bench import measurement
from tests.monitor.collector.flood import connect, field, packet, publish
from tests.world.brokers import enrolled_probe
from tests.world.mosquitto import free_port

ROOT = Path(__file__).resolve().parents[1]
TARGETS = [target.id for target in load(None).targets]
CONNECT_SECONDS = 60.0
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
        self.writer.write(connect(self.who.user, self.who.secret) + b"\x82" + wanted[1:])
        answer = await self.reader.readexactly(4 + 5)
        assert answer[3] == 0, f"refused: {answer.hex()}"

    async def send(self, rounds: int) -> None:
        """Batches one after another."""
        for number in range(rounds):
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


async def fleet(probes: int, rounds: int, folder: Path) -> bool:
    """Measure; whether the goal was reached."""
    connection_limit(probes)
    mqtt, http = free_port(), free_port()
    arguments = ("--data", str(folder), "--mqtt", f"127.0.0.1:{mqtt}", "--no-local-probe")
    command = [sys.executable, "-m", "monitor.commands.main", "up", *arguments]
    monitor = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs yet
        [*command, "--http", f"127.0.0.1:{http}"], cwd=ROOT
    )
    try:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", http)
                writer.close()
                break
            await asyncio.sleep(0.1)
        database = await open_database(f"sqlite+aiosqlite:///{folder}/reachwatch.db")
        enrolled = [await enrolled_probe(database) for _ in range(probes)]
        await database.close()
        everyone = [Probe(who, mqtt) for who in enrolled]
        process = psutil.Process(monitor.pid)
        at_once = asyncio.Semaphore(CONNECTING)

        async def one(each: Probe) -> None:
            async with at_once:
                await each.connect()

        cpu, begun = sum(process.cpu_times()[:2]), time.monotonic()
        await asyncio.gather(*map(one, everyone))
        connected = time.monotonic() - begun
        used = sum(process.cpu_times()[:2]) - cpu
        print(
            f"{probes} probes connected in {connected:.1f} s (goal {CONNECT_SECONDS:g}): "
            f"{used / probes * 1000:.2f} ms of processor time each"
        )
        cpu, begun = sum(process.cpu_times()[:2]), time.monotonic()
        await asyncio.gather(*(each.send(rounds) for each in everyone))
        seconds = time.monotonic() - begun
        used = sum(process.cpu_times()[:2]) - cpu
        took = sorted(second for each in everyone for second in each.took)
        batches = probes * rounds
        print(
            f"{batches} batches of {len(TARGETS)} measurements acknowledged in {seconds:.1f} s: "
            f"{batches * len(TARGETS) / seconds:,.0f} measurements a second, median "
            f"{statistics.median(took):.1f} s, most {took[-1]:.1f} s; {used / batches * 1000:.2f} "
            f"ms of processor time a batch; {process.memory_info().rss >> 20} MiB"
        )
        begun = time.monotonic()
        monitor.terminate()
        await asyncio.to_thread(monitor.wait)
        print(f"ended {time.monotonic() - begun:.1f} s after SIGTERM")
        for each in everyone:
            each.writer.close()
        reached = connected <= CONNECT_SECONDS
        print("reached" if reached else "MISSED")
        return reached
    finally:
        monitor.kill()
        monitor.wait()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reach-fleet-") as folder:
        reached = asyncio.run(fleet(given.probes, given.rounds, Path(folder)))
    return 1 if given.strict and not reached else 0


if __name__ == "__main__":
    sys.exit(main())
