"""A probe with two ways, a broker and the web server, while one or the other does not let it pass.
Both lead to one store."""

from __future__ import annotations

import asyncio
import contextlib
import io
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from probes.delivery import ladder, way_chooser
from probes.delivery.batch_signer import BatchSigner
from probes.delivery.broker_client import Access, BrokerClient
from probes.delivery.broker_session import DaemonSide
from probes.delivery.outbox import DeliveryTimes, Outbox
from probes.delivery.spool import Spool
from probes.delivery.way_memory import WayMemory
from probes.delivery.ways import in_order
from probes.log import Log
from probes.wire import codec
from probes.wire.measurement import Vantage
from tests.monitor.collector.bench import measurement
from tests.monitor.collector.live import collecting
from tests.world.brokers import House, house
from tests.world.narrow_path import NarrowPath, narrow_path
from tests.world.waiting import eventually
from tests.world.web_monitor import WebMonitor, web_monitor

TIMES = DeliveryTimes(
    ack=0.2, ack_most=0.4, linger=0.1, heartbeat=0.2, poll=0.2, backoff=0.05, backoff_most=0.3
)
NETWORK = "RU/64501"


class Rig:
    """One probe, the broker and the web server, and a path to each."""

    def __init__(self, directory: Path, monitor: WebMonitor, urls: list[str]) -> None:
        self.directory, self.monitor = directory, monitor
        self.log = io.StringIO()
        common: Any = {"now_ms": lambda: 10**12, "rng": random.Random(1), "log": Log(self.log)}
        self.spool = Spool(directory, monitor.who.probe)
        signer = BatchSigner(directory, Log(io.StringIO()))
        self.outbox = Outbox(self.spool, "boot", times=TIMES, signer=signer, **common)
        self.client = BrokerClient(
            Access(
                probe=monitor.who.probe,
                brokers=in_order(urls),
                user=monitor.who.user,
                secret=monitor.who.secret,
                memory=directory,
            ),
            self.outbox,
            DaemonSide(
                status=lambda state: codec.Status(state=state, version="1"),
                location=lambda: ("RU", 64501),
            ),
            **common,
        )
        self.taken = 0

    async def take(self, count: int = 5) -> None:
        for _ in range(count):
            vantage = Vantage(country="RU", asn=64501)
            made = measurement(self.monitor.who.probe, self.taken, vantage=vantage)
            assert await self.spool.put(made)
            self.taken += 1
        self.outbox.rounds_closed()

    async def drained(self, transport: str) -> None:
        """Wait until all that was taken is acknowledged, and this way is in use."""

        async def is_done() -> bool:
            pending = (await self.spool.counts()).pending
            return not pending and self.outbox.stats.transport == transport

        await eventually(is_done, f"{transport}: {self.log.getvalue()[-2000:]}")

    def failing(self) -> list[tuple[str, str]]:
        return [(way.kind, record.failure) for way, record in self.client.chooser.failing()]


@contextlib.asynccontextmanager
async def rig(
    directory: Path, made: House, *, collects: bool = True
) -> AsyncIterator[tuple[Rig, NarrowPath, NarrowPath]]:
    """The probe at work, with the path to the broker and the one to the web server."""
    async with contextlib.AsyncExitStack() as stack:
        monitor = await stack.enter_async_context(
            web_monitor(directory / "m", database=made.database)
        )
        if collects:
            await stack.enter_async_context(collecting(made))
        broker = await stack.enter_async_context(narrow_path(made.probes_port))
        web = await stack.enter_async_context(narrow_path(monitor.port))
        urls = [f"http://127.0.0.1:{web.port}", f"mqtt://127.0.0.1:{broker.port}"]
        probe = Rig(directory, monitor, urls)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        task = group.create_task(probe.client.run())
        try:
            yield probe, broker, web
        finally:
            task.cancel()
            await asyncio.wait([task])
            await probe.spool.close()
        assert await monitor.stored() == probe.taken


@pytest.fixture
async def embedded(tmp_path: Path) -> AsyncIterator[House]:
    async with house("embedded", tmp_path) as made:
        yield made


async def test_the_web_server_takes_over_and_the_broker_again(
    tmp_path: Path, embedded: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder, "FIRST_AGAIN_MS", 300)
    monkeypatch.setattr(way_chooser, "STABLE_SECONDS", 0.5)
    async with rig(tmp_path, embedded) as (probe, broker, _):
        await probe.take()
        await probe.drained("mqtt+5")
        broker.is_closed = True
        broker.cut()
        await probe.take()
        await probe.drained("http")
        assert probe.failing() == [("mqtt", "connection_reset")]
        (told,) = probe.outbox.stats.failing_ways
        assert (told.way, told.failure, told.since_ms >= 10**12) == (
            "mqtt",
            "connection_reset",
            True,
        )
        broker.is_closed = False
        await probe.take()
        await probe.drained("mqtt+5")
        await eventually(lambda: not probe.outbox.stats.failing_ways)


async def test_what_works_is_remembered_over_a_restart(tmp_path: Path, embedded: House) -> None:
    async with rig(tmp_path, embedded) as (probe, broker, web):
        broker.is_closed = True
        await probe.take()
        await probe.drained("http")
        names = [f"mqtt://127.0.0.1:{broker.port}", f"http://127.0.0.1:{web.port}"]
        mqtt, http = WayMemory(tmp_path, Log(io.StringIO())).records(NETWORK, names)
        assert (mqtt.failure, http.failures) == ("connection_reset", 0)
        assert ladder.choose([mqtt, http], 10**12 + 60_000) == 1


async def test_a_broker_without_a_collector_is_left(
    tmp_path: Path, embedded: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(way_chooser, "UNANSWERED_SECONDS", 0.5)
    async with rig(tmp_path, embedded, collects=False) as (probe, _, _web):
        await probe.take()
        await probe.drained("http")
        assert probe.failing() == [("mqtt", "not_acknowledged")]


async def test_while_every_way_is_closed_everything_waits(tmp_path: Path, embedded: House) -> None:
    async with rig(tmp_path, embedded) as (probe, broker, web):
        broker.is_closed = web.is_closed = True
        broker.cut()
        web.cut()
        await probe.take()
        await eventually(lambda: len(probe.failing()) == 2)
        assert probe.outbox.stats.away_ms
        web.is_closed = False
        await probe.drained("http")


async def test_a_frozen_way_is_left(
    tmp_path: Path, embedded: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("probes.runtime.stall.STALL_SECONDS", 0.5)
    monkeypatch.setattr("probes.runtime.mqtt.ANSWER_SECONDS", 1.0)
    async with rig(tmp_path, embedded) as (probe, broker, _):
        await probe.take()
        await probe.drained("mqtt+5")
        broker.freeze_after = 700
        broker.cut()
        await probe.take()
        await probe.drained("http")
        assert probe.failing() == [("mqtt", "no_progress")]
