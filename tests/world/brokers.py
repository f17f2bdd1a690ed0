"""Our two kinds of broker, each with a real registry and two enrolled probes, for tests.

A `House` is a running broker. Clients in it are plain aiomqtt, because they have to be able to
misbehave.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiomqtt

from monitor.broker.embedded import EmbeddedBroker
from monitor.broker.mosquitto import Passwords, reload_by_pid_file, write_configuration
from monitor.broker.relay import relay
from monitor.enrolment import Credentials, Enrolled, enrol, new_token
from monitor.store.database import Database, open_database
from probes.runtime.broker_url import parse_broker
from probes.wire import topics
from probes.wire.enrolment_token import parse_token
from tests.world.mosquitto import PROGRAM, loopback_layout
from tests.world.stores import migrated
from tests.world.waiting import HANG_SECONDS, eventually

MONITOR_SECRET = "monitor-secret"
RELOADING = "Reloading config"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class House:
    def __init__(
        self,
        database: Database,
        version: str,
        probes_port: int,
        monitor_port: int,
        credentials_changed: Callable[[], Awaitable[Any]],
        side: Callable[[str], asyncio.Protocol | None],
    ) -> None:
        """`side` makes the broker's side of a connection that a web server carries."""
        self.one: Enrolled
        self.two: Enrolled
        self.database = database
        self.version = version
        self.probes_port = probes_port
        self.monitor_port = monitor_port
        self._changed = credentials_changed
        self.side = side

    @property
    def monitor_url(self) -> str:
        return f"mqtt://127.0.0.1:{self.monitor_port}"

    async def enrol(self) -> Enrolled:
        enrolled = await enrolled_probe(self.database)
        await self._changed()
        return enrolled

    async def renew(self) -> None:
        """Tell the broker what the registry has."""
        await self._changed()

    async def revoke(self, probe: str) -> None:
        await self.database.registry.revoke_probe(probe, now_ms())
        await self._changed()

    def client(self, who: Enrolled | None = None, **options: Any) -> aiomqtt.Client:
        """A client of a probe, or of the monitor."""
        user = who.user if who else "monitor"
        secret = who.secret if who else MONITOR_SECRET
        if self.version == "3.1.1":
            options.setdefault("clean_session", True)
        return aiomqtt.Client(
            "127.0.0.1",
            self.probes_port if who else self.monitor_port,
            username=options.pop("username", user),
            password=options.pop("password", secret),
            identifier=options.pop("identifier", None) or f"{user}",
            protocol=aiomqtt.ProtocolVersion.V5
            if self.version == "5"
            else aiomqtt.ProtocolVersion.V311,
            timeout=HANG_SECONDS,
            **options,
        )

    @contextlib.asynccontextmanager
    async def ear(self, topic_filter: str = f"{topics.PREFIX}/#") -> AsyncIterator[Ear]:
        """What the monitor hears."""
        async with self.client(identifier="ear") as client:
            await client.subscribe(topic_filter, qos=1)
            yield Ear(client)


class Ear:
    """Messages that a client got, up to a marker that the monitor sends last."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self.client = client

    async def heard(
        self, *, seconds: float = HANG_SECONDS, marker: str = ""
    ) -> list[tuple[str, bytes]]:
        """Everything before a marker that this client (the monitor's) sends to itself."""
        marker = marker or topics.events("marker", "ZZ")
        await self.client.publish(marker, b"end", qos=1)
        return await until(self.client, marker, seconds)


async def until(
    client: aiomqtt.Client, marker: str, seconds: float = HANG_SECONDS
) -> list[tuple[str, bytes]]:
    """What a client gets before a message on `marker`."""
    got: list[tuple[str, bytes]] = []
    async with asyncio.timeout(seconds):
        async for message in client.messages:
            if str(message.topic) == marker:
                break
            got.append((str(message.topic), bytes(message.payload)))
    return got


async def enrolled_probe(database: Database) -> Enrolled:
    """A probe that came in by a token of its own."""
    token, text = new_token("http://x", "vantage", "owner", 1, now_ms() + 60_000, now_ms())
    await database.registry.add_token(token)
    told = parse_token(text)
    enrolled = await enrol(database.registry, told.id, told.secret, now_ms())
    assert isinstance(enrolled, Enrolled)
    return enrolled


@contextlib.asynccontextmanager
async def house(kind: str, directory: Path) -> AsyncIterator[House]:
    """`embedded-5`, `embedded-3.1.1`, `mosquitto-5` or `mosquitto-3.1.1`; the number says what the
    clients speak. `embedded` alone is with 5."""
    database = await open_database(await migrated(directory / "store.sqlite"))
    try:
        one, two = await enrolled_probe(database), await enrolled_probe(database)
        make = _embedded if kind.startswith("embedded") else _mosquitto
        async with make(kind, directory, database) as made:
            made.one, made.two = one, two
            yield made
    finally:
        await database.close()


@contextlib.asynccontextmanager
async def _embedded(kind: str, directory: Path, database: Database) -> AsyncIterator[House]:
    async def nothing() -> None:
        pass

    credentials = Credentials(database.registry, seconds=0.2)
    async with EmbeddedBroker(
        "127.0.0.1", 0, credentials, "monitor", MONITOR_SECRET, recheck_seconds=0.3
    ) as broker:
        version = kind.removeprefix("embedded").removeprefix("-") or "5"
        yield House(database, version, broker.port, broker.port, nothing, broker.side)


@contextlib.asynccontextmanager
async def _mosquitto(kind: str, directory: Path, database: Database) -> AsyncIterator[House]:
    config = directory / "mosquitto"
    layout = loopback_layout(config, pid_file=str(config / "pid"))
    path = write_configuration(config, layout, MONITOR_SECRET)
    passwords = Passwords(
        config / "probes.passwd",
        database.registry,
        reload_by_pid_file(config / "pid"),
        by_network=kind.endswith("by network"),
    )
    await passwords.refresh()
    with path.open("a") as config_file:
        config_file.write("log_type information\n")  # it says when it has read its files again
    log_path = directory / "mosquitto.log"
    with (directory / "mosquitto.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "-c", str(path)], stdout=log, stderr=log)
    try:
        await _listening(layout.probes_port, process, directory / "mosquitto.log")

        async def renew() -> None:
            before = log_path.read_text().count(RELOADING)
            if await passwords.refresh():
                await eventually(lambda: log_path.read_text().count(RELOADING) > before)

        broker = parse_broker(f"mqtt://127.0.0.1:{layout.probes_port}")
        yield House(
            database,
            kind.removeprefix("mosquitto-").removesuffix(" by network"),
            layout.probes_port,
            layout.monitor_port,
            renew,
            lambda address: relay(broker),
        )
    finally:
        process.terminate()
        process.wait(HANG_SECONDS)
        shutil.rmtree(config)


async def _listening(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    async with asyncio.timeout(HANG_SECONDS):
        while process.poll() is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            except OSError:
                await asyncio.sleep(0.02)
    raise RuntimeError(f"mosquitto did not start:\n{log.read_text()}")
