"""The shell as processes: everything in one, the parts apart, and how each ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor.collector.intake import Intake
from monitor.collector.subscriber import run_collector
from monitor.enrolment import Credentials
from monitor.metrics.counters import Counters
from monitor.pipeline import MONITOR_USER, _broker, website
from monitor.signed_catalogue import make_key, sign
from monitor.store.database import open_database
from monitor.store.simulated import mark_simulated
from probes.catalogue.load import SHIPPED
from probes.runtime.broker_url import parse_broker
from probes.runtime.mqtt import connect
from probes.wire import topics
from probes.wire.codec import decode_ack
from probes.wire.enrolment_token import parse_token
from probes.wire.https_delivery import BATCHES, authorization
from tests.faults.test_detector import ended, queued_seconds
from tests.monitor.collector.bench import batch
from tests.world.brokers import enrolled_probe
from tests.world.ports import free_port
from tests.world.postgres import PostgreSQL
from tests.world.site import opened
from tests.world.waiting import HANG_SECONDS, eventually, wait_until


@contextmanager
def reachwatch(log: Path, *words: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server of ours; ended by SIGTERM, which it must obey with exit 0."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor.commands.main", *words],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=os.environ,
        )  # fmt: skip
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_SECONDS) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def fetch(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, data=body, timeout=HANG_SECONDS) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return fetch(url)[0] == 200
        except OSError:
            return False

    wait_until(ready, url, pause=0.1)


def test_up_serves_enrols_and_ends_quietly(tmp_path: Path) -> None:
    log, url = tmp_path / "log", f"http://127.0.0.1:{free_port()}"
    data = ("--data", str(tmp_path / "data"))
    key, catalogue = tmp_path / "key.pem", tmp_path / "catalogue.signed"
    public = make_key(key)
    catalogue.write_bytes(sign(SHIPPED, key, 7))
    words = ("up", "--no-local-probe", *data, "--http", url[7:], "--mqtt", "127.0.0.1:0",
             "--signed-catalogue", str(catalogue))  # fmt: skip
    with reachwatch(log, *words) as process:
        wait(f"{url}/readyz", process, log)
        assert "No measurements yet." in fetch(url)[1].decode()
        made = subprocess.run(
            [*(sys.executable, "-m", "monitor.commands.main"),
             *("token", "new"), *data, *("--owner", "us", "--public-url", url)],
            capture_output=True, check=True,
        )  # fmt: skip
        token = parse_token(made.stdout.decode())
        wanted = json.dumps({"token_id": token.id, "secret": token.secret}).encode()
        status, body = fetch(f"{url}/api/v1/enrol", wanted)
        assert status == 201
        credentials = json.loads(body)
        assert credentials["owner"] == "us"
        assert credentials["broker"][0].startswith("mqtt://127.0.0.1:")
        assert credentials["catalogue_key"] == public
        assert asyncio.run(read_catalogue(credentials)) == catalogue.read_bytes()
        over_the_web = {**credentials, "broker": credentials["ways"]}
        assert asyncio.run(read_catalogue(over_the_web)) == catalogue.read_bytes()
        assert fetch(f"{url}/api/v1/enrol", wanted)[0] == 403
        listed = json.loads(fetch(f"{url}/api/v1/vantages")[1])["vantages"]
        assert [row["id"] for row in listed] == [credentials["probe"]]
        leave = json.dumps({"probe": credentials["probe"], "secret": credentials["secret"]})
        assert fetch(f"{url}/api/v1/leave", leave.encode())[0] == 200
    assert "Traceback" not in log.read_text()
    assert '"level": "error"' not in log.read_text()


async def read_catalogue(credentials: dict[str, Any]) -> bytes:
    """The retained catalogue, as the probe with these credentials reads it."""
    broker = parse_broker(credentials["broker"][0])
    user, secret = credentials["user"], credentials["secret"]
    async with (
        asyncio.timeout(HANG_SECONDS),
        connect(broker, client_id=user, user=user, secret=secret) as connection,
    ):
        await connection.subscribe(topics.CATALOGUE)
        async for message in connection.messages():
            return message.payload
    raise AssertionError("the connection ended")


@pytest.mark.parametrize("port", ["http", "mqtt"])
def test_a_port_that_is_taken_is_one_line(tmp_path: Path, port: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        places = {"http": free_port(), "mqtt": free_port(), port: number}
        run = subprocess.run(
            [*(sys.executable, "-m", "monitor.commands.main", "up", "--no-local-probe"),
             *("--data", str(tmp_path), "--http", f"127.0.0.1:{places['http']}"),
             *("--mqtt", f"127.0.0.1:{places['mqtt']}")],
            capture_output=True, text=True, check=False, timeout=HANG_SECONDS,
        )  # fmt: skip
    assert run.returncode == 2
    said = [line for line in run.stderr.splitlines() if line.startswith("reachwatch: ")]
    assert len(said) == 1
    assert str(number) in said[0]
    assert "Traceback" not in run.stderr


def enrolled_at(url: str, *store: str) -> dict[str, Any]:
    """The credentials of a probe that a running monitor enrolled; `store` names its store."""
    made = subprocess.run(
        [*(sys.executable, "-m", "monitor.commands.main"),
         *("token", "new"), *store, *("--owner", "us", "--public-url", url)],
        capture_output=True, check=True,
    )  # fmt: skip
    token = parse_token(made.stdout.decode())
    wanted = json.dumps({"token_id": token.id, "secret": token.secret}).encode()
    credentials: dict[str, Any] = json.loads(fetch(f"{url}/api/v1/enrol", wanted)[1])
    return credentials


def test_serve_alone_takes_measurements(tmp_path: Path) -> None:
    """No broker and no collector: the probe posts its batch, and the answer acknowledges it."""
    database = ("--database", f"sqlite+aiosqlite:///{tmp_path}/store.db")
    url = f"http://127.0.0.1:{free_port()}"
    log = tmp_path / "serve.log"
    words = ("serve", *database, "--http", url[7:], "--processes", "1")
    with reachwatch(log, *words) as process:
        wait(f"{url}/readyz", process, log)
        credentials = enrolled_at(url, *database)
        assert credentials["broker"] == credentials["ways"] == []
        probe = credentials["probe"]
        asked = urllib.request.Request(
            f"{url}{BATCHES}",
            batch(probe, (0, 1), number=3),
            {"Authorization": authorization(credentials["user"], credentials["secret"])},
        )
        for _ in range(2):
            with urllib.request.urlopen(asked, timeout=HANG_SECONDS) as answer:
                assert decode_ack(answer.read()).sequences == (3,)
        metrics = fetch(f"{url}/metrics")[1].decode()
        assert "\nreachwatch_measurements_ingested_total 2.0\n" in metrics
        assert "\nreachwatch_measurements_duplicate_total 2.0\n" in metrics
    assert "Traceback" not in log.read_text()


def test_up_waits_for_a_database_that_is_away_and_says_so(tmp_path: Path) -> None:
    log, url, server = tmp_path / "log", f"http://127.0.0.1:{free_port()}", PostgreSQL()
    try:
        server.start()
        database = server.fresh()
        server.stop()
        words = ("up", "--no-local-probe", "--data", str(tmp_path / "data"), "--http", url[7:],
                 "--mqtt", "127.0.0.1:0", "--database", database)  # fmt: skip
        with reachwatch(log, *words) as process:
            wait(f"{url}/healthz", process, log)
            assert fetch(f"{url}/readyz")[0] == 503
            assert "waiting for the store: postgresql+asyncpg://" in log.read_text()
        assert "Traceback" not in log.read_text(), "asked to end while it waits, it ends"
        with reachwatch(log, *words) as process:
            wait(f"{url}/healthz", process, log)
            server.start()
            wait(f"{url}/readyz", process, log)
            wait_until(lambda: "Reachwatch is running at" in log.read_text())
        assert "Traceback" not in log.read_text()
    finally:
        server.remove()


async def test_a_batch_that_comes_before_the_collector_is_acknowledged_the_first_time(
    tmp_path: Path,
) -> None:
    """Probes connect as soon as a monitor that starts again listens."""
    async with await open_database(f"sqlite+aiosqlite:///{tmp_path / 'store.sqlite'}") as database:
        who = await enrolled_probe(database)
        async with await _broker(("127.0.0.1", 0), Credentials(database.registry), "s") as broker:

            async def deliver() -> tuple[int, ...]:
                async with connect(
                    parse_broker(broker.url), client_id=who.user, user=who.user, secret=who.secret
                ) as connection:
                    await connection.subscribe(topics.ack(who.probe))
                    payload = batch(who.probe, range(3), number=7)
                    await connection.publish(topics.measurements(who.probe), payload)
                    async for message in connection.messages():
                        return decode_ack(message.payload).sequences
                raise AssertionError("the connection ended")

            stop = asyncio.Event()
            intake = Intake(database, Counters(), stop)
            async with asyncio.timeout(HANG_SECONDS), asyncio.TaskGroup() as group:
                delivering = group.create_task(deliver())
                await eventually(lambda: broker.waiting)
                own = (broker.url, MONITOR_USER, "s")
                group.create_task(run_collector(*own, intake, shared=False))
                assert await delivering == (7,)
                stop.set()


async def test_a_website_keeps_the_present_until_it_ends(tmp_path: Path) -> None:
    async with opened(None, tmp_path) as site:
        async with website(site, ("127.0.0.1", free_port())):
            await eventually(lambda: site.present.revision() == 1)
        assert not site.background.start(site.present.get)


async def test_what_a_demonstration_stored_is_never_served_as_real(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.sqlite'}"
    async with await open_database(url) as database:
        await mark_simulated(database)
    site, log = f"http://127.0.0.1:{free_port()}", tmp_path / "log"
    place = ("--database", url, "--http", site.removeprefix("http://"), "--processes", "1")
    with reachwatch(log, "serve", *place) as process:
        await asyncio.to_thread(wait, f"{site}/readyz", process, log)
        page = (await asyncio.to_thread(fetch, f"{site}/"))[1].decode()
        events = json.loads((await asyncio.to_thread(fetch, f"{site}/api/v1/events"))[1])
    assert "<strong>Demonstration.</strong>" in page
    assert events["simulated"] is True


CLIENTS, ADDRESSES_OF_CLIENTS = 300, 4


@pytest.mark.rest
def test_hundreds_of_clients_over_websocket_do_not_delay_the_end(tmp_path: Path) -> None:
    log, url = tmp_path / "log", f"http://127.0.0.1:{free_port()}"
    data = ("--data", str(tmp_path / "data"))
    with reachwatch(
        log, "up", "--no-local-probe", *data, "--http", url[7:], "--mqtt", "127.0.0.1:0"
    ) as process:
        wait(f"{url}/readyz", process, log)
        given = enrolled_at(url, *data)
        seconds = asyncio.run(_end_under_clients(int(url.rpartition(":")[2]), given, process))
        assert seconds < 5.0
    assert "Traceback" not in log.read_text()


async def _end_under_clients(
    port: int, given: dict[str, Any], process: subprocess.Popen[bytes]
) -> float:
    """How long the process takes to end after SIGTERM while all clients are connected, as far as
    it has a processor."""
    async with contextlib.AsyncExitStack() as stack:
        streams = await asyncio.gather(*(_client(port, given, number) for number in range(CLIENTS)))
        for _, writer in streams:
            stack.callback(writer.close)
        begun, queued = time.monotonic(), queued_seconds(process.pid)
        process.send_signal(signal.SIGTERM)
        await eventually(lambda: ended(process.pid), "it ends")
        return time.monotonic() - begun - (queued_seconds(process.pid) - queued)


async def _client(
    port: int, given: dict[str, Any], number: int
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client of MQTT 3.1.1 over WebSocket that was accepted, one of several of its address."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, local_addr=(f"127.0.1.{number % ADDRESSES_OF_CLIENTS + 1}", 0)
    )
    writer.write(
        b"GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
    )
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    texts = (f"c{number}", given["user"], given["secret"])
    fields = b"".join(len(text).to_bytes(2) + text.encode() for text in texts)
    body = b"\x00\x04MQTT\x04\xc2\x00\x3c" + fields
    assert len(body) < 124
    packet = bytes((0x10, len(body))) + body
    writer.write(bytes((0x82, 0x80 | len(packet))) + bytes(4) + packet)
    assert await reader.readexactly(6) == b"\x82\x04\x20\x02\x00\x00"
    return reader, writer
