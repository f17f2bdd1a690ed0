"""Delivery to the real web server, with the real store behind it."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import random
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from monitor.http_server import serving
from monitor.store.retests import OpenRetest
from probes.delivery.batch_signer import BatchSigner
from probes.delivery.broker_session import DaemonSide, Finish
from probes.delivery.connection_size import ConnectionSize
from probes.delivery.https_session import MOST_REMEMBERED, HTTPSSession, Told
from probes.delivery.outbox import DeliveryTimes, Outbox
from probes.delivery.poll_rhythm import PollRhythm
from probes.delivery.spool import Spool
from probes.delivery.way_failure import NotStoredError, NotTheMonitorError
from probes.log import Log
from probes.runtime.broker_url import BrokerRefusedError, parse_way
from probes.runtime.http_connection import open_http
from probes.wire import codec
from probes.wire.https_delivery import authorization
from probes.wire.measurement import Vantage
from probes.wire.observation import TCPConnect
from probes.wire.retest import Retest, encode_retest
from tests.monitor.collector.bench import measurement, now_ms
from tests.world.narrow_path import narrow_path
from tests.world.waiting import HANG_SECONDS, eventually
from tests.world.web_monitor import WebMonitor, web_monitor

TIMES = DeliveryTimes(ack=0.3, ack_most=0.6, linger=0.1, heartbeat=0.2, poll=0.2, poll_early=0.1)
RETEST = Retest(targets=("wechat/web",), round=60_000, interval_ms=60_000)


class Probe:
    """A spool, an outbox, and sessions to a web server."""

    def __init__(self, directory: Path, probe: str, secret: str, url: str) -> None:
        self.probe, self.url = probe, url
        self.spool = Spool(directory, probe)
        self.log = io.StringIO()
        common: Any = {"now_ms": lambda: 5, "rng": random.Random(1), "log": Log(self.log)}
        signer = BatchSigner(directory, Log(io.StringIO()))
        self.outbox = Outbox(self.spool, "boot", times=TIMES, signer=signer, **common)
        self.finish, self.told, self.size = Finish(), Told(), ConnectionSize()
        self.secret = secret
        self.states: list[str] = []
        self.retests: list[Retest] = []
        self.catalogues: list[bytes] = []

    def session(self) -> HTTPSSession:
        way = parse_way(self.url)
        return HTTPSSession(
            lambda: open_http(way, self.outbox.stats.traffic, lambda _: True),
            authorization(self.probe, self.secret),
            self.outbox,
            DaemonSide(
                status=self._status,
                location=lambda: ("RU", 64501),
                on_retest=self.retests.append,
                on_catalogue=self.catalogues.append,
            ),
            self.finish,
            lambda: True,
            self.told,
            self.size,
            Log(self.log),
        )

    def _status(self, state: str) -> codec.Status:
        self.states.append(state)
        return codec.Status(state=state, version="1")

    async def is_drained(self) -> bool:
        return (await self.spool.counts()).pending == 0

    async def take(self, count: int) -> None:
        at = now_ms() - 1000
        for number in range(count):
            evidence = (TCPConnect(endpoint=secrets.token_hex(400), address="192.0.2.1", port=443),)
            place = Vantage(country="RU", asn=64501)
            made = measurement(self.probe, number, vantage=place, observations=evidence, at=at)
            assert await self.spool.put(made)
        self.outbox.rounds_closed()


@contextlib.asynccontextmanager
async def delivering(probe: Probe) -> AsyncIterator[HTTPSSession]:
    session = probe.session()
    await session.open()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(session.run())
        yield session
        probe.finish.by = asyncio.get_running_loop().time() + 5
        probe.outbox.changed.set()
        async with asyncio.timeout(HANG_SECONDS):
            await task
    session.close()


def enrolled(directory: Path, monitor: WebMonitor) -> Probe:
    return Probe(directory, monitor.who.probe, monitor.who.secret, monitor.url)


async def test_everything_is_stored_once_over_one_connection(tmp_path: Path) -> None:
    async with web_monitor(tmp_path / "monitor") as monitor:
        probe = enrolled(tmp_path, monitor)
        async with delivering(probe):
            await probe.take(30)
            await eventually(probe.is_drained)
            await eventually(lambda: "heartbeat" in probe.states)
        assert await monitor.stored() == 30
        assert monitor.counters.duplicate == 0
        assert (probe.states[0], probe.states[-1]) == ("hello", "goodbye")
        assert probe.outbox.stats.resent == 0
        await probe.spool.close()


async def test_a_path_that_freezes_connections_carries_everything_in_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost and nothing is stored twice; once the path is open, few connections do."""
    monkeypatch.setattr("probes.runtime.stall.STALL_SECONDS", 0.4)
    monkeypatch.setattr("probes.runtime.http_connection.ANSWER_SECONDS", 2.0)
    async with web_monitor(tmp_path / "monitor") as monitor, narrow_path(monitor.port) as path:
        probe = enrolled(tmp_path, monitor)
        probe.url = f"http://127.0.0.1:{path.port}"
        path.freeze_after = 16_000
        await probe.take(60)  # at once: a batch of them does not pass
        async with delivering(probe) as session:
            await eventually(probe.is_drained)
            assert session.lost is None
            frozen = [carried for carried in path.carried if carried > 16_000]
            assert 1 <= len(frozen) <= len(path.carried) / 2
            path.freeze_after = None
            begun = len(path.carried)
            await probe.take(60)
            await eventually(probe.is_drained)
            assert len(path.carried) - begun < 12
        assert await monitor.stored() == 120
        assert monitor.counters.conflicting == 0
        await probe.spool.close()


async def test_what_the_monitor_wants_is_told_once(tmp_path: Path) -> None:
    async with web_monitor(tmp_path / "monitor") as monitor:
        body, ends = encode_retest(RETEST), now_ms() + 600_000
        request = OpenRetest(country="RU", asn=64501, ends=ends, body=body)
        await monitor.database.retests.add([request], 0)
        monitor.catalogue = b"the first"
        probe = enrolled(tmp_path, monitor)
        async with delivering(probe):
            await eventually(lambda: len(probe.states) > 3)
            assert probe.retests == [RETEST]
            assert probe.catalogues == [b"the first"]
            assert probe.told.catalogue == hashlib.sha256(b"the first").hexdigest()
            monitor.catalogue = b"the second"
            await eventually(lambda: probe.catalogues == [b"the first", b"the second"])
        await probe.spool.close()


@pytest.mark.parametrize("by_monitor", [False, True])
async def test_it_asks_early_while_something_is_suspected(tmp_path: Path, by_monitor: bool) -> None:
    async with web_monitor(tmp_path / "monitor") as monitor:
        probe = enrolled(tmp_path, monitor)
        probe.outbox.polls = PollRhythm(3600.0, 0.05)
        if by_monitor:
            ended = OpenRetest(country="RU", asn=64501, ends=now_ms() - 1, body=b"{}")
            await monitor.database.retests.add([ended], now_ms())
        async with delivering(probe):
            if not by_monitor:
                await eventually(lambda: probe.states)
                await asyncio.sleep(0.2)
                assert probe.states == ["hello"]
                probe.outbox.hurry()
            await eventually(lambda: probe.states.count("heartbeat") > 2)
        await probe.spool.close()


def test_what_was_told_is_remembered_within_bounds() -> None:
    told = Told()
    assert told.is_new(b"x")
    assert not told.is_new(b"x")
    for number in range(MOST_REMEMBERED):
        assert told.is_new(str(number).encode())
    assert told.is_new(b"x")


async def test_a_server_that_is_started_again_costs_nothing(tmp_path: Path) -> None:
    """The connection that was kept open is gone: the request is made once more on a new one."""
    async with web_monitor(tmp_path / "one") as monitor:
        port = monitor.port
        probe = enrolled(tmp_path, monitor)
        session = probe.session()
        await session.open()
    async with web_monitor(tmp_path / "one", port) as monitor:
        probe.secret = monitor.who.secret
        session._headers["Authorization"] = authorization(monitor.who.probe, monitor.who.secret)
        await session.open()
        assert session.lost is None
        session.close()
    await probe.spool.close()


async def refused(url: str, directory: Path) -> BaseException:
    probe = Probe(directory, "p-0123456789abcdef", "hush", url)
    session = probe.session()
    try:
        async with asyncio.timeout(HANG_SECONDS):
            await session.open()
    except Exception as error:
        return error
    finally:
        session.close()
        await probe.spool.close()
    raise AssertionError("accepted")


async def test_wrong_credentials_are_a_refusal(tmp_path: Path) -> None:
    async with web_monitor(tmp_path / "monitor") as monitor:
        assert isinstance(await refused(monitor.url, tmp_path), BrokerRefusedError)


async def test_what_is_not_the_monitor_is_told_from_one_that_cannot_store(tmp_path: Path) -> None:
    answers = iter(
        (
            (web.Response(status=503, text='{"error": "not stored yet"}'), NotStoredError),
            (web.Response(status=503, text="<h1>Bad gateway"), NotTheMonitorError),
            (web.Response(status=401, text="Log in"), NotTheMonitorError),
            (web.Response(text="<html>Blocked by order"), NotTheMonitorError),
            (web.Response(status=302, headers={"Location": "/portal"}), NotTheMonitorError),
        )
    )
    kinds: list[type[Exception]] = []

    async def answer(_: web.Request) -> web.Response:
        response, kind = next(answers)
        kinds.append(kind)
        return response

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    async with serving(app, "127.0.0.1", 0) as port:
        for number in range(5):
            error = await refused(f"http://127.0.0.1:{port}", tmp_path / f"{number}")
            assert type(error) is kinds[-1], error
