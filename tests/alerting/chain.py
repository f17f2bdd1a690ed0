"""The whole alerting chain with real programs: a store that the test fills, `reachwatch serve`
over it, Prometheus, Alertmanager, and a webhook that remembers.

    async with chain(tmp_path) as it:
        await it.say(event, "opened")
        message = await it.message("ServiceBlockConfirmed")

At PACE an hour of the policy is six seconds, or eighteen on a busy machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from monitor.alerts import routing, rules_file, scraping
from monitor.alerts.alert import as_yaml
from monitor.detection.model import Event, State
from monitor.detection.policy import Policy
from monitor.store.database import Database, open_database
from monitor.store.records import Conclusions, Probe, Seen, Token
from probes.wire.measurement import Role, service_of
from tests.monitor.store.samples import admitted, verdict
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS

ROOT = Path(__file__).resolve().parents[2]
PACE = 200
"""At 600 measurements that stop for 1.5 s have stalled, which a machine that others begin to keep
busy does of itself: nobody is told anything else then."""
HOUR = 3600 / PACE
POLICY = Policy(pace=PACE)
PUBLIC_URL = "https://reach.example"


def now() -> int:
    return time.time_ns() // 1_000_000


T = TypeVar("T")


async def until(what: str, look: Callable[[], Awaitable[T | None]]) -> T:
    """The first thing that `look` finds."""
    deadline = time.monotonic() + HANG_SECONDS
    while True:
        found = await look()
        if found is not None:
            return found
        assert time.monotonic() < deadline, f"never seen: {what}"
        await asyncio.sleep(0.1)


class Person:
    """An enrolled probe. One that `stays` was last heard in the future: it cannot fall silent
    because the test's machine was busy."""

    def __init__(
        self, number: int, country: str, asn: int, *, stays: bool = True, role: Role = Role.VANTAGE
    ) -> None:
        self.number, self.country, self.asn, self.role = number, country, asn, role
        self.id = f"p-{number:016x}"
        self.stays = stays
        self.owner = f"owner-{number}"


class Program:
    """A process of ours, ended by its own pid."""

    def __init__(self, log: Path, *command: str) -> None:
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=ROOT
            )

    def kill(self) -> None:
        """As when the machine fails."""
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(HANG_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


class Chain:
    """What the test holds in its hands."""

    def __init__(
        self, folder: Path, database: Database, url: str, people: Sequence[Person]
    ) -> None:
        self.folder, self.database, self.url, self.people = folder, database, url, people
        self.inbox: list[dict[str, Any]] = []
        """Bodies that Alertmanager posted, oldest first."""
        self.beats = 0
        self.alive = True
        self.gone: set[str] = set()
        """Countries whose vantages have fallen silent."""
        self.ports = {name: free_port() for name in ("web", "prometheus", "alertmanager")}
        self.programs: dict[str, Program] = {}
        self._lock = asyncio.Lock()
        self._sequence = 0
        self._http = aiohttp.ClientSession()

    # the store

    async def say(self, event: Event, *transitions: str) -> None:
        """Write an event in its present form, and what of it is news."""
        await self._save(
            Conclusions(
                service=event.service,
                round=now(),
                state=b"state",
                events=(event,),
                journal=tuple((event.id, each) for each in transitions),
            )
        )

    async def judge(self, target: str, states: dict[str, State]) -> None:
        """One verdict a probe (by id) on a target, of this moment."""
        rows = []
        for who in self.people:
            if who.id in states:
                self._sequence += 1
                rows.append(self._measured(who, target))
        await self.database.facts.add(rows, [])
        said = [verdict(row, states[row.stored.measurement.probe]) for row in rows]
        service = service_of(target)
        await self._save(
            Conclusions(service=service, round=now(), state=b"state", facts=tuple(said))
        )

    def _measured(self, who: Person, target: str) -> Any:
        self._sequence += 1
        return admitted(
            self._sequence,
            probe=who.number,
            target=target,
            at=now(),
            country=who.country,
            asn=who.asn,
            role=who.role,
            owner=who.owner,
        )

    async def _save(self, one: Conclusions) -> None:
        async with self._lock:
            await self.database.conclusions.save([one], self._sequence)

    async def enrol(self) -> None:
        """Put everybody into the registry."""
        for who in self.people:
            token = Token(
                id=f"t{who.number}",
                secret_sha256="0" * 64,
                role=who.role,
                owner=who.owner,
                uses_left=1,
                expires=now() + 10**7,
                created=now(),
            )
            await self.database.registry.add_token(token)
            probe = Probe(id=who.id, owner="", role="", enrolled=now())
            await self.database.registry.enrol(token.id, "0" * 64, probe, "hash", now())
            await self._heard(who)

    async def _heard(self, who: Person) -> None:
        at = now() + (10**7 if who.stays else 0)
        await self.database.registry.record_seen(
            [Seen(probe=who.id, at=at, country=who.country, asn=who.asn)]
        )

    async def live(self) -> None:
        """Measurements arrive, are judged, and vantages are heard."""
        while True:
            if self.alive:
                for who in self.people:
                    if not who.stays and who.country not in self.gone:
                        await self._heard(who)
                row = self._measured(self.people[0], "wechat/messaging")
                await self.database.facts.add([row], [])
                await self._save(Conclusions(service="wechat", round=now(), state=b"state"))
            await asyncio.sleep(0.5)

    # the programs

    def start_monitor(self) -> None:
        self._start(
            "web", sys.executable, "-m", "monitor.commands.main", "serve",
            "--database", self.url, "--http", f"127.0.0.1:{self.ports['web']}",
            "--pace", str(PACE), "--interval", "60", "--public-url", PUBLIC_URL, "--processes", "1",
        )  # fmt: skip

    def start_alerting(self, hook: str) -> None:
        at = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        files = {
            "rules.yml": rules_file.render(POLICY, PUBLIC_URL),
            "prometheus.yml": as_yaml(scraping.document(POLICY, [at["web"]], at["alertmanager"])),
            "alertmanager.yml": routing.render(POLICY, f"{hook}hook", f"{hook}beat"),
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)
        self._start(
            "alertmanager", "prometheus-alertmanager",
            f"--config.file={self.folder}/alertmanager.yml",
            f"--storage.path={self.folder}/alertmanager",
            f"--web.listen-address={at['alertmanager']}",
            "--cluster.listen-address=",
        )  # fmt: skip
        self._start(
            "prometheus", "prometheus",
            f"--config.file={self.folder}/prometheus.yml",
            f"--storage.tsdb.path={self.folder}/prometheus",
            f"--web.listen-address={at['prometheus']}",
            # What fired before Alertmanager was found is sent again after this long.
            "--rules.alert.resend-delay=5s",
        )  # fmt: skip

    def _start(self, name: str, *command: str) -> None:
        self.programs[name] = Program(self.folder / f"{name}.log", *command)

    async def ask(self, program: str, path: str) -> Any:
        """What a program's API says; None while it does not answer."""
        try:
            async with self._http.get(f"http://127.0.0.1:{self.ports[program]}{path}") as answer:
                return await answer.json() if answer.status == 200 else None
        except (aiohttp.ClientError, OSError):
            return None

    async def ready(self) -> None:
        """Until Prometheus has seen the monitor and knows Alertmanager."""

        async def known() -> bool | None:
            found = await self.ask("prometheus", "/api/v1/alertmanagers")
            seen = await self.ask("prometheus", "/api/v1/query?query=reachwatch_build_info")
            if not found or not seen:
                return None
            return bool(found["data"]["activeAlertmanagers"] and seen["data"]["result"]) or None

        await until("a chain that works", known)

    # what came of it

    async def sees(self, expr: str) -> None:
        """Until a query of Prometheus has an answer."""

        async def look() -> bool | None:
            said = await self.ask("prometheus", f"/api/v1/query?query={quote(expr)}")
            return bool(said and said["data"]["result"]) or None

        await until(expr, look)

    async def alert(self, name: str, **annotations: str) -> dict[str, Any]:
        """An alert that fires in Prometheus, with words in its annotations."""

        async def look() -> dict[str, Any] | None:
            said = await self.ask("prometheus", "/api/v1/alerts")
            for each in said["data"]["alerts"] if said else ():
                if (
                    each["labels"]["alertname"] == name
                    and each["state"] == "firing"
                    and all(
                        word in each["annotations"].get(key, "")
                        for key, word in annotations.items()
                    )
                ):
                    return dict(each)
            return None

        return await until(f"{name} in Prometheus", look)

    def told(self, name: str, status: str = "firing") -> list[dict[str, Any]]:
        """Alerts of this name in all messages so far."""
        return [
            alert
            for message in self.inbox
            for alert in message["alerts"]
            if alert["labels"]["alertname"] == name and alert["status"] == status
        ]

    async def message(self, name: str, status: str = "firing", number: int = 1) -> dict[str, Any]:
        """The n-th time that somebody is told of an alert."""

        async def look() -> dict[str, Any] | None:
            found = self.told(name, status)
            return found[number - 1] if len(found) >= number else None

        try:
            return await until(f"{name} {status} at the webhook", look)
        except AssertionError as error:
            raise AssertionError(f"{error}; told: {self._news()}") from None

    async def last_message(self, name: str, status: str) -> None:
        """Until this is the last that somebody was told of an alert: it may have been so before,
        and nobody is told twice."""

        async def look() -> bool | None:
            return next((s for n, s in reversed(self._news()) if n == name), "") == status or None

        await until(f"{name} {status} last at the webhook", look)

    def _news(self) -> list[tuple[str, str]]:
        """Names of alerts and what was said of them, oldest first."""
        return [
            (alert["labels"]["alertname"], alert["status"])
            for message in self.inbox
            for alert in message["alerts"]
        ]

    async def close(self) -> None:
        await self._http.close()


@contextlib.asynccontextmanager
async def chain(folder: Path, people: Sequence[Person]) -> AsyncIterator[Chain]:
    """Everything running and ready."""
    url = f"sqlite+aiosqlite:///{folder}/reachwatch.db"
    database = await open_database(url)
    it = Chain(folder, database, url, people)

    async def receive(request: web.Request) -> web.Response:
        it.inbox.append(await request.json())
        return web.Response()

    async def beat(request: web.Request) -> web.Response:
        it.beats += 1
        return web.Response()

    hook = web.Application()
    hook.router.add_post("/hook", receive)
    hook.router.add_post("/beat", beat)
    server = TestServer(hook)
    await server.start_server()
    try:
        await it.enrol()
        it.start_monitor()
        it.start_alerting(str(server.make_url("/")))
        async with asyncio.TaskGroup() as group:
            living = group.create_task(it.live())
            try:
                await it.ready()
                yield it
            finally:
                living.cancel()
    finally:
        for program in it.programs.values():
            program.end()
        await it.close()
        await server.close()
        await database.close()
