"""Hours with all faults mixed, and what grows meanwhile: `./scripts/bench soak`.

A probe, mosquitto, PostgreSQL, `collect`, `detect` and `serve` are killed, stopped for seconds and
started again at random; strangers send rubbish to the broker and to the web server and leave
connections open; visitors read pages that nobody else asks for. After a part of the time only the
broker and the database are still killed: the memory, file descriptors and threads of the others
are sampled, and must not grow. At the end each measurement that was printed as taken is stored
once, the spool is empty, and no log has a traceback.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.fleet import Fleet
from tests.faults.growth import MOST_MORE, Sample, growth, more, sample
from tests.faults.kills import HONEST, drained, flowing, service
from tests.world.ports import free_port
from tests.world.postgres import PostgreSQL

KILLED_UNTIL, COUNTED_FROM = 0.4, 0.55
"""Of the time: when the processes that are measured are killed last, and when samples begin to
count, with their caches full."""
LASTING = ("probe", "collector", "detector", "web")
PAUSE_SECONDS = (2.0, 8.0)
SAMPLE_SECONDS = 10.0
PAGES = (
    *("/", "/s", "/s/laboratory", "/c", "/c/RU", "/as/64501", "/v", "/m", "/changes", "/explore"),
    *("/compare", "/live", "/status", "/method", "/status.json", "/feed.atom", "/history.csv"),
    *("/metrics", "/readyz", "/api/v1/events", "/api/v1/services", "/api/v1/measurements"),
    *("/api/v1/vantages", "/api/v1/networks", "/api/v1/timeline", "/no-such-page"),
)
STRANGERS = 20


class WholeFleet(Fleet):
    """All processes of a research centre, and one probe."""

    def __init__(self, directory: Path, service_port: int, server: PostgreSQL) -> None:
        super().__init__(directory, service_port, HONEST, server)
        self.interval = "1"
        self.http = free_port()

    def commands(self) -> dict[str, list[str]]:
        """How each process is started."""
        commands, program = super().commands(), HONEST[:-1]
        collected = commands["collector"][len(HONEST) :]
        catalogue = collected.index("--catalogue")
        broker = f"mqtt://127.0.0.1:{self.layout.monitor_port}"
        return {
            **commands,
            "detector": [
                *(*program, "detect", "--database", self.database, "--broker", broker),
                *("--mqtt-secret-file", str(self.directory / "monitor.secret")),
            ],
            "web": [
                *(*program, "serve", "--database", self.database),
                *collected[catalogue : catalogue + 2],
                *("--http", f"127.0.0.1:{self.http}", "--data", str(self.directory)),
            ],
        }

    def tracebacks(self) -> dict[str, int]:
        """How many each log has."""
        return {
            path.stem: count
            for path in sorted(self.directory.glob("*.log"))
            if (count := path.read_text(errors="replace").count("Traceback (most recent"))
        }


class Soak:
    """One run: faults, strangers, visitors and samples, beside each other."""

    def __init__(self, fleet: WholeFleet, seed: int, minutes: float) -> None:
        self.fleet, self.rng = fleet, random.Random(seed)
        self.began, self.seconds = time.monotonic(), 60 * minutes
        self.faults: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.failing: Counter[str] = Counter()
        self.samples: dict[str, list[Sample]] = {name: [] for name in LASTING}

    @property
    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.began

    async def run(self) -> None:
        """Go on until the time is over."""
        async with asyncio.TaskGroup() as group:
            for part in (self._faults, self._strangers, self._visitors, self._samples):
                group.create_task(part())

    async def _faults(self) -> None:
        while self.elapsed < self.seconds:
            await asyncio.sleep(self.rng.uniform(*PAUSE_SECONDS))
            spared = self.elapsed > KILLED_UNTIL * self.seconds
            victims = ("broker", "database", *(() if spared else LASTING))
            if self.rng.random() < 0.4:
                await self._stop(self.rng.choice((*LASTING, "broker")))
                continue
            victim = self.rng.choice(victims)
            await asyncio.to_thread(self.fleet.kill, victim)
            self.faults[f"kill {victim}"] += 1
            await asyncio.sleep(self.rng.choice((0.0, 0.5, 5.0)))
            await asyncio.to_thread(self.fleet.start, victim)

    async def _stop(self, name: str) -> None:
        """Let a process do nothing for some seconds, with its connections open."""
        process = self.fleet.processes[name]
        process.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(self.rng.choice((1.0, 5.0, 20.0)))
        finally:
            process.send_signal(signal.SIGCONT)
        self.faults[f"stop {name}"] += 1

    async def _strangers(self) -> None:
        while self.elapsed < self.seconds:
            ports = (self.fleet.layout.probes_port, self.fleet.http)
            with contextlib.ExitStack() as stack:
                for number in range(STRANGERS):
                    with contextlib.suppress(OSError):
                        address = ("127.0.0.1", ports[number % 2])
                        stranger = stack.enter_context(socket.create_connection(address, 1))
                        stranger.setblocking(False)
                        stranger.send(self.rng.randbytes(self.rng.choice((0, 1, 40, 4000))))
                        self.faults["stranger"] += 1
                await asyncio.sleep(self.rng.uniform(1, 20))

    async def _visitors(self) -> None:
        while self.elapsed < self.seconds:
            path = self.rng.choice((*PAGES, f"/search?q={self.rng.random()}"))
            status = await asyncio.to_thread(_answer, self.fleet.http, path)
            self.answers[status] += 1
            if status == "500":
                self.failing[path] += 1
            await asyncio.sleep(1)

    async def _samples(self) -> None:
        while self.elapsed < self.seconds:
            for name, samples in self.samples.items():
                taken = sample(self.fleet.processes[name].pid, self.elapsed)
                if taken is not None and self.elapsed > COUNTED_FROM * self.seconds:
                    samples.append(taken)
            await asyncio.sleep(SAMPLE_SECONDS)

    def grown(self) -> list[str]:
        """Print what each process held; name those that grow, and those that ended."""
        faulty = []
        print("process        minutes  MB first, last   MB an hour (95 %)    descriptors  threads")
        for name, samples in self.samples.items():
            slope = growth(samples)
            if slope is None or len({each.pid for each in samples}) > 1:
                faulty.append(f"{name}: too short, or ended meanwhile")
                continue
            opened = more([each.descriptors for each in samples])
            threads = more([each.threads for each in samples])
            verdict = slope.verdict()
            print(
                f"{name:15}{(samples[-1].seconds - samples[0].seconds) / 60:7.1f}"
                f"{samples[0].mb:10.1f},{samples[-1].mb:6.1f}"
                f"{slope.mb_an_hour:+9.2f} ± {slope.within:.2f} {verdict:8}"
                f"{samples[-1].descriptors:6} ({opened:+.0f})"
                f"{samples[-1].threads:6} ({threads:+.0f})"
            )
            if verdict != "flat":
                faulty.append(f"{name}: {verdict}")
            if opened > MOST_MORE or threads > MOST_MORE:
                faulty.append(f"{name}: descriptors {opened:+}, threads {threads:+}")
        return faulty


def _answer(port: int, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            answer.read()
            return str(answer.status)
    except urllib.error.HTTPError as error:
        return str(error.code)
    except OSError:
        return "none"


async def soak(fleet: WholeFleet, seed: int, minutes: float) -> list[str]:
    """Run, drain, and say what is wrong."""
    await fleet.prepare()
    try:
        for name in ("broker", *LASTING):
            fleet.start(name)
        await flowing(fleet, 3)
        run = Soak(fleet, seed, minutes)
        await run.run()
        wrong = run.grown()
        # Otherwise it may wait for minutes: each connection in vain doubles its pause.
        fleet.kill("probe")
        fleet.start("probe")
        taken, stored = await drained(fleet)
        waiting = fleet.unacknowledged()
    finally:
        fleet.end()
    lost, twice = len(taken - stored.keys()), sum(n > 1 for n in stored.values())
    tracebacks = fleet.tracebacks()
    print(f"faults: {dict(sorted(run.faults.items()))}\nanswers to visitors: {dict(run.answers)}")
    print(
        f"{len(taken)} printed as taken, {len(stored)} stored, {lost} lost, {twice} twice, "
        f"{waiting} left in the spool; tracebacks in logs: {tracebacks or 'none'}",
        flush=True,
    )
    wrong += [f"{count} {what}" for count, what in ((lost, "lost"), (twice, "twice")) if count]
    wrong += ["the spool is not empty"] if waiting else []
    wrong += [f"{count} answers 500 of {path}" for path, count in run.failing.items()]
    return wrong + [f"tracebacks of {name}" for name in tracebacks]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one soak; 1 when something was lost, doubled, or grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--logs", type=Path, help="keep the logs in this new directory")
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}, {given.minutes:g} minutes", flush=True)
    with contextlib.ExitStack() as stack:
        place = given.logs or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="reach-soak-"))
        )
        server = PostgreSQL(durable=True)
        stack.callback(server.remove)
        server.start()
        wrong = asyncio.run(_with_service(place, server, given.seed, given.minutes))
    print("reached" if not wrong else f"MISSED: {'; '.join(wrong)}")
    return 1 if wrong else 0


async def _with_service(place: Path, server: PostgreSQL, seed: int, minutes: float) -> list[str]:
    async with service() as port:
        return await soak(WholeFleet(place, port, server), seed, minutes)


if __name__ == "__main__":
    sys.exit(main())
