# SPDX-License-Identifier: Apache-2.0
"""A day of a volunteer's traffic: counted at the interface, and by the probe itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.hearing import far_side
from benchmarks.hearing.brokers import Collector, hostile
from benchmarks.hearing.scenarios import SCENARIOS, BrokerKind, Scenario
from benchmarks.probing import standins
from probes.cli import consent

ROOT = Path(__file__).resolve().parents[2]
MONTH_HOURS = 720
GOAL_MONTH, GOAL_OWN = 1000.0, 0.1
"""MB a month; part by which the probe's own figure may be off."""
GOAL_ROUNDS, GOAL_RETESTS = 0.95, 0.8
"""Part of the rounds that the interval asks for, and of the retests that are asked for."""
UP_SECONDS, DOWN_SECONDS = 3.0, 1.0
"""Of a line that comes and goes; real time, so that it does in the middle of rounds."""
INTERVAL_HOURS = 0.5


@dataclass(frozen=True)
class Day:
    """What was counted."""

    scenario: str
    hours: float
    """Of the probe's time."""
    counted: int
    """Bytes at the interface, both ways, with their Ethernet headers."""
    rate: float
    """Of the second half, when the reserves of the budget are used up: MB an hour."""
    own: int
    """What the probe says it has spent."""
    rounds: int
    failing: float
    """Targets that failed in a round, mean."""
    asked: int
    answered: int
    twice: int
    """Measurements that arrived more than once."""

    @property
    def month_mb(self) -> float:
        """The traffic of a month that begins so and goes on as the second half."""
        return self.counted / 1e6 + self.rate * (MONTH_HOURS - self.hours)

    @property
    def rounds_kept(self) -> float:
        """Part of the rounds that the default interval asks for."""
        return self.rounds / (self.hours / INTERVAL_HOURS)

    def misses(self, scenario: Scenario) -> list[str]:
        """What is not as it should be."""
        missed = []
        if self.month_mb > GOAL_MONTH:
            missed.append("month")
        if abs(self.own / self.counted - 1) > GOAL_OWN:
            missed.append("own figure")
        if scenario.services and self.rounds_kept < GOAL_ROUNDS:
            missed.append("interval")
        if scenario.services and self.answered < GOAL_RETESTS * self.asked:
            missed.append("retests")
        return missed

    def line(self, scenario: Scenario) -> str:
        """One line of the table."""
        missed = self.misses(scenario)
        return (
            f"{self.scenario:<16}{self.hours:5.1f} h {self.counted / 1e6:7.2f} MB "
            f"{self.month_mb:6.0f} MB/month  own {self.own / self.counted:5.3f}  "
            f"rounds {self.rounds} of {self.hours / INTERVAL_HOURS:.0f}  "
            f"failing {self.failing:5.1f}  retests {self.answered} of {self.asked}  "
            + (f"MISSED: {', '.join(missed)}" if missed else "reached")
        )


@dataclass(frozen=True)
class Count:
    """What was counted until a moment."""

    seconds: float
    """Of the probe's time."""
    rounds: int
    """That have ended."""
    counted: int
    own: int
    saved: float = 0.0
    """What the probe's budget has left; negative for a debt, which later hours pay."""


def later_rate(counts: Sequence[Count]) -> float:
    """MB an hour from the first round that ends in the second half to the last one: from the end of
    a round to that of another, so that what is between is as many rounds as pauses; without two
    rounds there, of the whole half. What was saved meanwhile will be spent, what was borrowed not:
    else a few hours in which a debt is made or paid would stand for the month."""
    half = counts[-1].seconds / 2
    ends = [after for before, after in pairwise(counts) if after.rounds > before.rounds]
    later = [count for count in ends if count.seconds >= half]
    if len(later) < 2:
        later = [min(counts, key=lambda count: abs(count.seconds - half)), counts[-1]]
    first, last = later[0], later[-1]
    spent = last.counted - first.counted + last.saved - first.saved
    return spent / 1e6 / ((last.seconds - first.seconds) / 3600)


async def measure(scenario: Scenario, hidden: str, python: str) -> Day:
    """Play the scenario. Needs the far namespace."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        collector = Collector()
        async with (
            far_side.internet(folder, scenario) as roots,
            _broker(folder, scenario.broker, collector),
            _flapping() if scenario.flapping else contextlib.nullcontext(),
        ):
            return await _play(scenario, folder, roots, hidden, python, collector)


@contextlib.asynccontextmanager
async def _broker(folder: Path, kind: BrokerKind, collector: Collector) -> AsyncIterator[None]:
    if kind is not BrokerKind.HONEST:
        async with hostile(kind, next((folder / "pair").iterdir())):
            yield
        return
    async with far_side.mosquitto(folder) as port, _background(collector.serve(port)):
        yield


@contextlib.asynccontextmanager
async def _background(work: object) -> AsyncIterator[None]:
    task = asyncio.ensure_future(work)  # type: ignore[call-overload]
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def _flapping() -> AsyncIterator[None]:
    async def flap() -> None:
        while True:
            for state, seconds in (("up", UP_SECONDS), ("down", DOWN_SECONDS)):
                process = await asyncio.create_subprocess_exec(
                    "ip", "link", "set", "down0", state, stderr=asyncio.subprocess.DEVNULL
                )
                await process.wait()
                if state == "up":
                    await far_side.restore_routes()
                await asyncio.sleep(seconds)

    async with _background(flap()):
        yield


async def _play(
    scenario: Scenario, folder: Path, roots: Path, hidden: str, python: str, collector: Collector
) -> Day:
    catalogue, state = folder / "catalogue", folder / "state"
    async with standins.running(
        *("unshare", "-n", "-m", "sh", "-c", far_side.JOINED, "sh"),
        *(python, str(Path(__file__).with_name("timelapse.py"))),
        *(str(roots), hidden, f"{scenario.hours:g}", "run"),
        *("--catalogue", str(catalogue), "--state", str(state), "--allow-private"),
        *("--resolver", f"{far_side.RESOLVER}:53", "--country", "FR", "--asn", "64501"),
        *("--broker", f"mqtts://{far_side.BROKER_NAME}:8883", "--accept-risks", consent.digest()),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as probe:
        await far_side.join(probe)
        played: list[Count] = []
        assert probe.stderr is not None
        async for line in probe.stderr:
            if os.environ.get("HEARD_LOG"):
                sys.stderr.buffer.write(line)
            said = _json(line)
            if said.get("event") == "played":
                played.append(msgspec.convert(said, Count))
        await probe.wait()
    rounds, last = collector.rounds, played[-1]
    return Day(
        scenario.name,
        last.seconds / 3600,
        last.counted,
        later_rate(played),
        last.own,
        len(rounds),
        sum(collector.failing.values()) / max(1, len(rounds)),
        collector.asked,
        collector.answered,
        sum(count > 1 for count in collector.ids.values()),
    )


def _json(line: bytes) -> dict[str, object]:
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


async def run(scenario: Scenario, hidden: str, python: str) -> Day:
    """Make the namespace and play the scenario in it."""
    process = await asyncio.create_subprocess_exec(
        *("unshare", "-n", "-m", "sh", "-ec", far_side.MADE, "sh"),
        *(sys.executable, __file__, scenario.name, hidden, python, f"{scenario.hours:g}"),
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{scenario.name}: exit status {process.returncode}")
    return Day(**json.loads(told))


def keep(file: Path, day: Day) -> None:
    """Add a day to those that were played."""
    with file.open("ab") as lines:
        lines.write(msgspec.json.encode(day) + b"\n")


def played(file: Path) -> dict[str, Day]:
    """The days that were played before, by scenario."""
    lines = file.read_bytes().splitlines() if file.exists() else []
    days = [msgspec.json.decode(line, type=Day) for line in lines]
    return {day.scenario: day for day in days}


def main(name: str, hidden: str, python: str, hours: str) -> int:
    """Measure, inside the namespace."""
    scenario = next(one for one in SCENARIOS if one.name == name)
    day = asyncio.run(measure(replace(scenario, hours=float(hours)), hidden, python))
    print(json.dumps(asdict(day)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
