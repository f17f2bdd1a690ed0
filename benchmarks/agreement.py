# SPDX-License-Identifier: Apache-2.0
"""Whether everything that the monitor says of one moment agrees: `./scripts/bench agreement`.

The demonstration runs with two blocks that overlap, of which the first comes back while it is
clearing and again after it has ended. Each second the pages, badges, the feed, the API, /metrics
and MQTT (what is retained, and what is heard live) are asked for states, headlines, confidence,
scope, counts and times; `benchmarks/agreeing/contradictions.py` says what "the same moment" means
and which refresh is allowed.

A course takes about seven minutes. Each act of it, each change of an event and what was read by
then is told on standard error when it happens, and every half a minute that it goes on.

    ./scripts/bench agreement --strict      exit 1 if anything contradicts anything
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import aiohttp

from benchmarks.agreeing import stage
from benchmarks.agreeing.contradictions import Findings
from benchmarks.agreeing.course import Course
from benchmarks.agreeing.listening import Get, Listener
from monitor.demo.plan import SERVICES
from probes.runtime.mqtt import BrokerError
from tests.world.ports import free_port

EVERY_SECONDS, LIST_SECONDS = 1.0, 0.2
"""How often everything is asked, and the list that everything is compared with."""
AFTER_SECONDS = 15.0
"""How long is asked after the last block has ended."""
LONGEST_SECONDS = 3600.0
ANSWER_SECONDS = 60.0
USER = "monitor"
WANTED = {"opened", "likely", "confirmed", "clearing", "again", "closed"}
"""Changes that the events must pass, else too little was compared."""
SHOWN = 20
"""Contradictions printed."""


async def listen(listener: Listener, demonstration: Stage) -> float:
    """Ask until the course of the demonstration is over; for how many seconds."""
    own = demonstration.broker
    course = Course(len(stage.ACTS))
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_repeated(listener.ask_list, LIST_SECONDS)),
            group.create_task(_repeated(listener.ask_all, EVERY_SECONDS)),
            group.create_task(_repeated(lambda: listener.read_broker(*own), EVERY_SECONDS)),
            group.create_task(_followed(listener, own)),
        ]
        over: float | None = None
        while over is None or time.monotonic() - over < AFTER_SECONDS:
            await asyncio.sleep(1)
            acts, seconds = demonstration.acts(), time.monotonic() - began
            for line in course.news(seconds, acts, listener.events):
                print(f"{seconds:4.0f} s, {listener.heard()}: {line}", file=sys.stderr, flush=True)
            if seconds > LONGEST_SECONDS:
                listener.failed.append(f"not over within {LONGEST_SECONDS:g} s")
                break
            ongoing = any(event["closed"] is None for event in listener.events.values())
            if over is None and len(acts) == len(stage.ACTS) and not ongoing:
                over = time.monotonic()
        for task in tasks:
            task.cancel()
    return time.monotonic() - began


async def _repeated(ask: Callable[[], Awaitable[None]], every: float) -> None:
    while True:
        began = time.monotonic()
        await ask()
        await asyncio.sleep(max(0.0, every - (time.monotonic() - began)))


async def _followed(listener: Listener, own: tuple[str, str, str]) -> None:
    while True:
        with contextlib.suppress(BrokerError):
            await listener.follow(*own)
        listener.failed.append("the broker ended a connection")
        await asyncio.sleep(1)


class Stage:
    """The demonstration in a process of its own. A context manager."""

    def __init__(self, place: Path, pace: int) -> None:
        self.http, mqtt = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.secret = secrets.token_urlsafe(16)
        self.broker = (f"mqtt://{mqtt}", USER, self.secret)
        self.pace, self._log = pace, place / "log"
        self._command = [
            *(sys.executable, stage.__file__, "up", "--demo", "--http", self.http, "--mqtt", mqtt),
            *("--data", str(place / "data"), "--pace", str(pace)),
        ]

    def __enter__(self) -> Stage:
        environment = os.environ | {stage.SECRET: self.secret}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=environment)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(120)

    def acts(self) -> Sequence[str]:
        """Which blocks have begun or ended, in the demonstration's words."""
        log = self._log.read_text()
        if self._process.poll() is not None:
            sys.exit(log)
        return [line for line in log.splitlines() if "the simulated block " in line]


async def watch(demonstration: Stage) -> tuple[Findings, set[str], float]:
    """Listen to it, and compare what it says."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    base = f"http://{demonstration.http}"
    async with aiohttp.ClientSession(base, timeout=timeout) as session:

        async def get(path: str) -> tuple[int, Mapping[str, str], str]:
            async with session.get(path) as answer:
                return answer.status, answer.headers, await answer.text()

        await _until_ready(get, demonstration)
        listener = Listener(get, {service.id: service.name for service in SERVICES})
        await listener.ask_list()
        length = await listen(listener, demonstration)
        return listener.compare(demonstration.pace), listener.stages(), length


async def _until_ready(get: Get, demonstration: Stage) -> None:
    status = 0
    while status != 200:
        await asyncio.sleep(0.5)
        demonstration.acts()
        with contextlib.suppress(aiohttp.ClientError):
            status, _headers, _body = await get("/readyz")


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--strict", action="store_true", help="exit 1 on a contradiction")
    parser.add_argument("--pace", type=int, default=10, help="of the demonstration (10)")
    parser.add_argument("--keep", type=Path, help="a new folder for the demonstration's data")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="reachwatch-agreement-") as name:
        place = given.keep or Path(name)
        place.mkdir(exist_ok=True)
        print("The demonstration starts.", file=sys.stderr, flush=True)
        with Stage(place, given.pace) as demonstration:
            findings, stages, length = asyncio.run(watch(demonstration))
    print(f"{length:.0f} s; changes: {', '.join(sorted(stages))}")
    for kind in sorted(findings.same.keys() | findings.between.keys()):
        age = findings.oldest.get(kind)
        old = "" if age is None else f", a moment at most {age:.1f} s old when asked for"
        print(
            f"{kind}: {findings.same[kind]} of the same moment as the list, "
            f"{findings.between[kind]} between two{old}"
        )
    for line in findings.contradictions[:SHOWN]:
        print(line)
    missing = WANTED - stages
    if missing:
        print(f"not passed: {', '.join(sorted(missing))}")
    good = not findings.contradictions and not missing
    print(f"{'reached' if good else 'MISSED '} {len(findings.contradictions)} contradictions")
    return 1 if given.strict and not good else 0


if __name__ == "__main__":
    sys.exit(main())
