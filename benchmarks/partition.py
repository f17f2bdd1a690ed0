# SPDX-License-Identifier: Apache-2.0
"""A day without network, after which all probes return: `./scripts/bench partition`.

`reachwatch up` has a few probes that were never away. A crowd, with a control among it, holds a day
of rounds in which a service was blocked; each probe connects again within the longest pause that
probes make, and sends its batches one after another. Goals: all is stored within ten minutes, those
that were never away are acknowledged within 5 s (p99), and nothing of the past opens an event.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sqlite3
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.fleet import Monitor, Probe
from monitor.enrolment import Enrolled, enrol, new_token
from monitor.listener import connection_limit
from monitor.store.database import open_database
from probes.catalogue.load import load
from probes.delivery.outbox import DEFAULT_TIMES
from probes.wire import topics
from probes.wire.codec import BatchHeader, encode, encode_batch
from probes.wire.enrolment_token import parse_token
from probes.wire.failure import Failure
from probes.wire.measurement import Measurement, Role, Vantage, measurement_id
from probes.wire.observation import AnyObservation
from tests.monitor.collector.flood import publish
from tests.monitor.detection.scenes import A1, INNOCUOUS, alive, dns, measured, tcp, tls

DRAINED_SECONDS, FRESH_SECONDS = 600.0, 5.0
PRESENT, FRESH_EVERY = 6, 5.0
OWNERS, NETWORKS = 40, 20
INTERVAL_MS = 1_800_000
MONTH_MS = 30 * 86_400_000
TARGETS = [target.id for target in load(None).targets if not target.id.startswith("liveness")]
WORKS = (dns(A1), tcp(A1), tls(A1, **INNOCUOUS), tls(A1))
BLOCKED = (dns(A1), tcp(A1), tls(A1, **INNOCUOUS), tls(A1, Failure.RESET))


class Returning(Probe):
    """A probe that makes its measurements as it sends them."""

    def __init__(self, who: Enrolled, port: int, number: int, targets: Sequence[str]) -> None:
        super().__init__(who, port)
        role = Role(who.role)
        asn = 64999 if role is Role.CONTROL else 64500 + number % NETWORKS
        country = "NL" if role is Role.CONTROL else "RU"
        self._vantage = Vantage(country=country, asn=asn, role=role)
        self._targets, self.measurements, self._batches = targets, 0, 0

    async def round(
        self, at: int, first: Sequence[AnyObservation], interval_ms: int = INTERVAL_MS
    ) -> None:
        """Send a round, in which the first target is observed so, and wait until it is stored."""
        where = {
            "probe": self.who.probe,
            "round": at,
            "vantage": self._vantage,
            "interval_ms": interval_ms,
        }
        made = [*alive(**where)]  # type: ignore[arg-type]
        for number, target in enumerate(self._targets):
            seen = first if number == 0 else WORKS
            made.append(measured(*seen, target=target, **where))  # type: ignore[arg-type]
        payload = encode_batch(
            BatchHeader(boot="partition", sequence=self._batches),
            [encode(self._own(m)) for m in made],
        )
        begun, number = time.monotonic(), self._batches
        self._batches += 1
        self.writer.write(publish(topics.measurements(self.who.probe), payload))
        while number not in await self._acknowledged():
            pass
        self.took.append(time.monotonic() - begun)

    def _own(self, measurement: Measurement) -> Measurement:
        self.measurements += 1
        id = measurement_id(self.who.probe, "e", self.measurements)
        return replace(measurement, id=id, epoch="e", sequence=self.measurements)


async def _enrolled(url: str, count: int) -> list[Enrolled]:
    """So many probes, known for a month; the first is a control."""
    database, now = await open_database(url), int(time.time() * 1000)
    made = []
    try:
        for number in range(count):
            role = "vantage" if number else "control"
            token, text = new_token("http://x", role, f"o{number % OWNERS}", 1, now + 60_000, now)
            await database.registry.add_token(token)
            told = parse_token(text)
            enrolled = await enrol(database.registry, told.id, told.secret, now)
            assert isinstance(enrolled, Enrolled)
            made.append(enrolled)
    finally:
        await database.close()
    with sqlite3.connect(url.removeprefix("sqlite+aiosqlite:///")) as store:
        store.execute("UPDATE probe SET enrolled = enrolled - ?", (MONTH_MS,))
    return made


async def _return(probe: Returning, rounds: Sequence[int], within: float) -> None:
    await asyncio.sleep(random.random() * within)
    while True:
        try:
            await probe.connect()
            break
        except (ConnectionError, asyncio.IncompleteReadError):
            await asyncio.sleep(random.uniform(1, 3))
    blocked = WORKS if probe.who.role == "control" else BLOCKED
    for at in rounds:
        await probe.round(at, blocked)


async def _present(probe: Returning, ends: asyncio.Event) -> None:
    await probe.connect()
    while not ends.is_set():
        at, every = int(time.time() * 1000), int(FRESH_EVERY * 1000)
        await probe.round(at - at % every, WORKS, every)
        await asyncio.sleep(FRESH_EVERY)


def _events(port: int) -> list[object]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/events", timeout=60) as answer:
        return list(json.load(answer)["events"])


async def partition(given: argparse.Namespace, folder: Path) -> bool:
    """Measure; whether the goals were reached."""
    url = f"sqlite+aiosqlite:///{folder}/reachwatch.db"
    connection_limit(given.probes + PRESENT)
    monitor, targets = Monitor(folder, url, False), TARGETS[: given.targets]
    ends = asyncio.Event()
    try:
        await monitor.start(0)
        everyone = [
            Returning(who, monitor.port, number, targets)
            for number, who in enumerate(await _enrolled(url, given.probes + PRESENT))
        ]
        away, here = everyone[: given.probes], everyone[given.probes :]
        now = int(time.time() * 1000) // INTERVAL_MS * INTERVAL_MS
        steps = range(int(given.hours * 3_600_000 / INTERVAL_MS), 2, -1)
        rounds = [now - step * INTERVAL_MS for step in steps]
        begun = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for probe in here:
                group.create_task(_present(probe, ends))
            returning = [group.create_task(_return(p, rounds, given.within)) for p in away]
            await asyncio.wait(returning)
            drained = time.monotonic() - begun
            ends.set()
        fresh = sorted(took for probe in here for took in probe.took)
        p99 = fresh[int(0.99 * len(fresh))]
        expected = sum(probe.measurements for probe in everyone)
        with sqlite3.connect(folder / "reachwatch.db") as store:
            whole = store.execute("SELECT count(*) FROM measurement").fetchone()[0] == expected
        await asyncio.sleep(given.settle)
        events = await asyncio.to_thread(_events, monitor.http)
        print(
            f"{len(away)} probes returned within {given.within:.0f} s with {len(rounds)} rounds of "
            f"{len(targets)} targets each: {expected:,} measurements, "
            f"{'all' if whole else 'NOT all'} stored once, after {drained:.0f} s (goal "
            f"{DRAINED_SECONDS:.0f}); fresh ones acknowledged: p99 {p99:.2f} s (goal "
            f"{FRESH_SECONDS:.0f}) of {len(fresh)}, most {fresh[-1]:.2f} s; events of the past: "
            f"{len(events)}; {monitor.memory()} MiB; load {os.getloadavg()[0]:.0f}"
        )
        reached = whole and not events and drained <= DRAINED_SECONDS and p99 <= FRESH_SECONDS
        print("reached" if reached else "MISSED")
        return reached
    finally:
        monitor.kill()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--probes", type=int, default=1000)
    parser.add_argument("--hours", type=float, default=24)
    parser.add_argument("--targets", type=int, default=20, help="measured in each round")
    parser.add_argument("--within", type=float, default=DEFAULT_TIMES.backoff_most, help="seconds")
    parser.add_argument("--settle", type=float, default=30, help="seconds for the detector")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a goal is missed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reach-partition-") as place:
        reached = asyncio.run(partition(given, Path(place)))
    return 1 if given.strict and not reached else 0


if __name__ == "__main__":
    sys.exit(main())
