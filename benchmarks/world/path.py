# SPDX-License-Identifier: Apache-2.0
"""What a measurement costs on its whole way through the detector, from the stored fact to the saved
conclusion: rounds of a fleet are stored, the clock passes their end, and the detector concludes
them."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.size.rounds import CONTROLS, TARGETS, Rounds
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.store.database import Database, open_database
from monitor.store.records import Admitted, AdmittedBatch
from monitor.store.size import size
from probes.wire.codec import BatchHeader, encode_batch, envelope_of

START = 1_800_000_000_000
GOAL_MICROSECONDS = 120.0
GOAL_ROUND_SECONDS = 30.0
GOAL_BYTES = 45.0
GOAL_REPLAYED = 8_000.0
WARM_ROUNDS = 2
"""Rounds before those that are measured: the first has no state and no earlier control."""


@dataclass(frozen=True)
class PathCost:
    """Of one round of a fleet, median of the measured rounds."""

    vantages: int
    turns: int
    """How many parts of its interval each round is concluded in."""
    targets: int
    measurements: int
    observations: float
    """Of a measurement, on average."""
    seconds: float
    """From the end of the round's wait until its conclusions are saved, on one core."""
    microseconds: float
    """CPU time for a measurement."""
    peak: float
    """Bytes of the process at its largest."""
    stored: float
    """Bytes of the whole store for an observation, with verdicts, cells and states."""


@dataclass(frozen=True)
class ReplayCost:
    """Of `reachwatch replay` over a store, in as many processes as there are cores."""

    measurements: int
    seconds: float
    microseconds: float
    """CPU time for a measurement, of all processes."""
    load: float
    """Of the machine when it began, a minute's average."""


async def _store(database: Database, rounds: Rounds, number: int, turn: int = 0) -> tuple[int, int]:
    measurements = observations = 0
    for batch in rounds.made(number, turn):
        await database.facts.add_batches([_as_sent(batch, number)], ())
        measurements += len(batch)
        observations += sum(len(one.stored.measurement.observations) for one in batch)
    return measurements, observations


def _as_sent(batch: Sequence[Admitted], number: int) -> AdmittedBatch:
    """The batch in the form in which a probe sends it."""
    first = batch[0]
    return AdmittedBatch(
        payload=encode_batch(
            BatchHeader(boot="0" * 16, sequence=number), [one.line for one in batch]
        ),
        lines=len(batch),
        entries=tuple((n, envelope_of(one.stored.measurement)) for n, one in enumerate(batch)),
        owner=first.stored.owner,
        role=first.stored.role.value,
        enrolled=first.stored.enrolled,
        received=first.received,
    )


async def _concluded(detector: Detector) -> None:
    while await detector.run_once():
        pass


async def measured(url: str, rounds: Rounds, counted: int, policy: Policy) -> PathCost:
    """Store rounds one after the other and conclude each once it is over."""
    database = await open_database(url, now=lambda: START)
    now = START
    detector = Detector(database, policy, "bench", lambda: now, rest_factor=0.0)
    spent: list[tuple[float, float]] = []
    measurements = observations = every = 0
    try:
        for number in range(WARM_ROUNDS + counted):
            seconds = cpu = 0.0
            measurements = observations = 0
            for turn in range(rounds.turns):
                stored = await _store(database, rounds, number, turn)
                measurements, observations = measurements + stored[0], observations + stored[1]
                now = rounds.begins(number, turn) + 2 * rounds.interval_ms
                began, used = time.perf_counter(), time.process_time()
                await _concluded(detector)
                seconds += time.perf_counter() - began
                cpu += time.process_time() - used
            every += observations
            if number >= WARM_ROUNDS:
                spent.append((seconds, cpu))
    finally:
        await database.close()
    sizes = await size(url)
    seconds, cpu = sorted(spent)[len(spent) // 2]
    return PathCost(
        rounds.vantages + CONTROLS,
        rounds.turns,
        len(TARGETS),
        measurements,
        observations / measurements,
        seconds,
        1e6 * cpu / measurements,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
        sum(table.bytes or 0 for table in sizes.tables) / every,
    )


def on_sqlite(rounds: Rounds, counted: int, policy: Policy) -> PathCost:
    """The same over a new SQLite file."""
    with tempfile.TemporaryDirectory(prefix="reachwatch-path-") as folder:
        url = f"sqlite+aiosqlite:///{Path(folder) / 'path.db'}"
        return asyncio.run(measured(url, rounds, counted, policy))


def replayed(vantages: int, rounds: int) -> ReplayCost:
    """Store rounds in a new SQLite file, and replay them by the command."""

    async def fill(url: str) -> int:
        database = await open_database(url, now=lambda: START)
        fleet = Rounds(vantages, START)
        try:
            return sum([(await _store(database, fleet, number))[0] for number in range(rounds)])
        finally:
            await database.close()

    with tempfile.TemporaryDirectory(prefix="reachwatch-replay-") as folder:
        url = f"sqlite+aiosqlite:///{Path(folder) / 'replay.db'}"
        count = asyncio.run(fill(url))
        load, before = os.getloadavg()[0], resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        command = [str(Path(sys.executable).with_name("reachwatch")), "replay", "--json"]
        done = subprocess.run([*command, "--database", url], check=True, stdout=subprocess.PIPE)
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout, "the fleet has a block, which replay finds"
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ReplayCost(count, seconds, 1e6 * spent / count, load)
