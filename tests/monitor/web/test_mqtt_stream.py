"""MQTT at the web server's port, joined to both kinds of broker, by clients good and bad."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from monitor.broker.relay import relay
from monitor.collector.intake import Intake
from monitor.collector.subscriber import run_collector
from monitor.enrolment import Credentials
from monitor.http_server import serving
from monitor.metrics.counters import Counters
from monitor.web import mqtt_stream
from monitor.web.app import make_app
from monitor.web.mqtt_stream import FRAME_BYTES, FRAMES_AT_ONCE, way_of
from monitor.web.reception import OpenRetests, Reception
from probes.runtime.broker_url import BrokerError, BrokerRefusedError, parse_broker
from probes.runtime.clock import wall_clock
from probes.runtime.mqtt import BrokerConnection, connect
from probes.wire import topics
from probes.wire.bounds import MAX_PACKET_BYTES
from probes.wire.codec import decode_ack
from tests.monitor.collector.bench import batch
from tests.monitor.store.arrivals import arrivals
from tests.monitor.web.test_websocket_frames import sent
from tests.world.brokers import MONITOR_SECRET, House, house
from tests.world.pki import Authority
from tests.world.site import site_of
from tests.world.waiting import HANG_SECONDS, eventually
from tests.world.web_monitor import behind_tls

KINDS = ("embedded-5", "mosquitto-5")
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


@dataclass
class Door:
    """A web server that is joined to a broker."""

    house: House
    port: int

    def client(self, **options: object) -> contextlib.AbstractAsyncContextManager[BrokerConnection]:
        """A probe that connects over WebSocket."""
        who = self.house.one
        broker = parse_broker(f"ws://127.0.0.1:{self.port}")
        given = {"client_id": who.user, "user": who.user, "secret": who.secret, **options}
        return connect(broker, **given)  # type: ignore[arg-type]

    async def raw(self, **headers: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
        """A connection that asked for the WebSocket, and the head of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = {
            "Host": "x",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": KEY,
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": "mqtt",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"GET /mqtt HTTP/1.1\r\n{head}\r\n".encode())
        return reader, writer, await reader.readuntil(b"\r\n\r\n")


@contextlib.asynccontextmanager
async def joined(
    made: House, side: Callable[[str], asyncio.Protocol | None] | None = None
) -> AsyncIterator[Door]:
    """A web server in front of a broker; `side` is another one."""
    reception = Reception(
        Intake(made.database, Counters(), asyncio.Event()),
        Credentials(made.database.registry),
        OpenRetests(made.database, wall_clock),
        stream=side or made.side,
    )
    app = make_app(site_of(made.database, reception=reception))
    async with serving(app, "127.0.0.1", 0) as port:
        yield Door(made, port)


@contextlib.asynccontextmanager
async def door(kind: str, directory: Path) -> AsyncIterator[Door]:
    async with house(kind, directory) as made, joined(made) as web:
        yield web


@contextlib.asynccontextmanager
async def collecting(made: House) -> AsyncIterator[None]:
    """A collector at the broker."""
    stop = asyncio.Event()
    intake = Intake(made.database, Counters(), stop)
    async with asyncio.TaskGroup() as group:
        group.create_task(
            run_collector(made.monitor_url, "monitor", MONITOR_SECRET, intake, shared=False)
        )
        await eventually(lambda: not intake.counters.unready)
        yield
        stop.set()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_batch_is_stored_and_acknowledged_over_wss(kind: str, tmp_path: Path) -> None:
    authority = Authority()
    tls = authority.issue("localhost").context()
    async with (
        door(kind, tmp_path) as made,
        collecting(made.house),
        behind_tls(made.port, tls) as port,
    ):
        trusting = ssl.create_default_context(cadata=authority.pem)
        who = made.house.one
        broker = parse_broker(f"wss://localhost:{port}?address=127.0.0.1")
        async with connect(
            broker, client_id=who.user, user=who.user, secret=who.secret, tls=trusting
        ) as client:
            assert client.transport == "wss+5"
            assert await client.subscribe(topics.ack(who.probe))
            payload = batch(who.probe, (0, 1, 2), number=7)
            assert await client.publish(topics.measurements(who.probe), payload) == ""
            async with asyncio.timeout(HANG_SECONDS):
                async for message in client.messages():
                    assert decode_ack(message.payload).sequences == (7,)
                    break
        assert len(await arrivals(made.house.database)) == 3


@pytest.mark.parametrize("kind", KINDS)
async def test_the_largest_batches_pass_and_what_is_longer_does_not(
    kind: str, tmp_path: Path
) -> None:
    async with door(kind, tmp_path) as made, made.house.ear() as ear:
        topic = topics.measurements(made.house.one.probe)
        async with made.client() as client:
            for number in range(3):
                await client.publish(topic, bytes([number]) * MAX_PACKET_BYTES)
        with pytest.raises(BrokerError):
            async with made.client() as client:
                await client.publish(topic, bytes(MAX_PACKET_BYTES + 4096))
        heard = [payload for name, payload in await ear.heard() if name == topic]
        assert heard == [bytes([number]) * MAX_PACKET_BYTES for number in range(3)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_wrong_secret_is_refused_by_the_broker(kind: str, tmp_path: Path) -> None:
    async with door(kind, tmp_path) as made:
        with pytest.raises(BrokerRefusedError):
            async with made.client(secret="wrong"):
                pass


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "h2c"},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Protocol": "chat"},
        {"Sec_WebSocket_Key": "short"},
    ],
)
async def test_another_upgrade_is_refused(headers: dict[str, str], tmp_path: Path) -> None:
    async with door("embedded-5", tmp_path) as made:
        _, writer, head = await made.raw(**headers)
        assert head.startswith(b"HTTP/1.1 400")
        writer.close()


async def test_the_head_of_the_answer_is_small(tmp_path: Path) -> None:
    """What a narrow path lets through is for measurements."""
    async with door("embedded-5", tmp_path) as made:
        _, writer, head = await made.raw()
        assert head.startswith(b"HTTP/1.1 101")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        assert len(head) < 400
        writer.close()


HOSTILE = {
    "text": (sent(b"hello", 1), 1003),
    "too-long": (sent(bytes(FRAME_BYTES + 1))[:14], 1009),
    "no-mask": (b"\x82\x01x", 1002),
    "flood-of-empty-frames": (sent(b"") * 40_000, 1008),
    "flood-of-pings": (sent(b"p", 9) * 40_000, 1008),
    "flood-of-one-byte-frames": (sent(b"\x10") + sent(b"\x00") * (FRAMES_AT_ONCE * 2), 1008),
    "no-mqtt": (sent(b"GET / HTTP/1.1\r\n\r\n" * 9), 1000),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("raw", "code"), HOSTILE.values(), ids=HOSTILE)
async def test_hostile_frames_cost_their_sender_only(
    raw: bytes, code: int, kind: str, tmp_path: Path
) -> None:
    async with door(kind, tmp_path) as made, made.client() as neighbour:
        await neighbour.subscribe(topics.CATALOGUE)
        for _ in range(3):
            reader, writer, _ = await made.raw()
            writer.write(raw)
            said = b""
            with contextlib.suppress(ConnectionResetError):
                async with asyncio.timeout(HANG_SECONDS):
                    while chunk := await reader.read(4096):
                        said += chunk
            writer.close()
            if said and code != 1000:  # a reset may take it away; the broker ends MQTT as it likes
                assert said[-4:] == b"\x88\x02" + code.to_bytes(2, "big")
            assert await neighbour.publish(topics.status(made.house.one.probe), b"x") == ""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", [b"", sent(bytes(1000))[:3], sent(bytes(1000))[:500]])
async def test_who_sends_half_a_frame_is_disconnected(
    part: bytes, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.broker.embedded.CONNECT_SECONDS", 0.3)
    monkeypatch.setattr("monitor.broker.embedded.SWEEP_SECONDS", 0.1)
    monkeypatch.setattr("monitor.broker.relay.CONNECT_SECONDS", 0.3)
    async with door(kind, tmp_path) as made:
        reader, writer, _ = await made.raw()
        writer.write(part)
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(HANG_SECONDS):
                await reader.read()
        writer.close()


async def test_the_address_that_a_proxy_names_is_limited_and_loopback_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the broker too, which counts its own connections by the same addresses."""
    monkeypatch.setattr("monitor.broker.embedded.MAX_PER_ADDRESS", 2)
    async with door("embedded-5", tmp_path) as made:
        opened = [await made.raw(X_Forwarded_For="192.0.2.7") for _ in range(3)]
        reader, writer, _ = opened[2]
        assert await reader.read() == b"\x88\x02" + (1013).to_bytes(2, "big")
        writer.close()
        opened[0][1].close()

        async def has_room() -> bool:
            reader, writer, _ = await made.raw(X_Forwarded_For="192.0.2.7")
            opened.append((reader, writer, b""))
            writer.write(sent(b"there?", 9))
            return (await reader.readexactly(1))[0] & 0x0F == 10  # a pong, not the end

        await eventually(has_room)
        monkeypatch.setattr(mqtt_stream, "MAX_PER_ADDRESS", 2)
        opened.append(await made.raw(X_Forwarded_For="192.0.2.7"))
        assert opened[-1][2].startswith(b"HTTP/1.1 503")
        for _, writer, _ in [*opened, *[await made.raw() for _ in range(4)]]:
            writer.close()


async def test_many_probes_behind_one_address_are_no_requests_at_once(tmp_path: Path) -> None:
    async with door("embedded-5", tmp_path) as made:
        opened = [await made.raw(X_Forwarded_For="192.0.2.7") for _ in range(40)]
        assert {head[:12] for _, _, head in opened} == {b"HTTP/1.1 101"}
        for _, writer, _ in opened:
            writer.close()


@pytest.mark.parametrize("kind", KINDS)
async def test_who_does_not_read_stops_nobody_else(kind: str, tmp_path: Path) -> None:
    """Retests for a probe that stopped reading: the broker's limits hold behind the web server."""
    async with (
        door(kind, tmp_path) as made,
        made.house.client() as monitor,
        made.client() as deaf,
        made.client(
            client_id=made.house.two.user,
            user=made.house.two.user,
            secret=made.house.two.secret,
        ) as neighbour,
    ):
        name = topics.retest("RU", 64501)
        await deaf.subscribe(name)
        loop = asyncio.get_running_loop()
        loop.remove_reader(deaf._client.tcp.fileno())
        for _ in range(60):
            await monitor.publish(name, bytes(100_000), qos=0)
        assert await neighbour.publish(topics.status(made.house.two.probe), b"x") == ""


@pytest.mark.parametrize("kind", KINDS)
async def test_the_server_ends_in_time_and_says_that_it_leaves(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for as long as it would for a request."""
    monkeypatch.setattr("monitor.http_server.SHUTDOWN_SECONDS", 2 * HANG_SECONDS)
    async with house(kind, tmp_path) as made, contextlib.AsyncExitStack() as server:
        web = await server.enter_async_context(joined(made))
        reader, writer, _ = await web.raw()
        async with web.client() as client:
            async with asyncio.timeout(HANG_SECONDS):
                await server.aclose()
            with pytest.raises(BrokerError):
                await client.publish(topics.status(made.one.probe), b"x")
        assert (await reader.read())[-4:] == b"\x88\x02" + (1001).to_bytes(2, "big")
        writer.close()


async def test_a_broker_that_is_away_ends_the_connection(tmp_path: Path) -> None:
    gone = parse_broker("mqtt://127.0.0.1:1")
    async with house("embedded-5", tmp_path) as made, joined(made, lambda _: relay(gone)) as web:
        reader, writer, _ = await web.raw()
        async with asyncio.timeout(HANG_SECONDS):
            assert await reader.read() == b"\x88\x02" + (1000).to_bytes(2, "big")
        writer.close()


async def test_a_server_without_a_broker_says_so(tmp_path: Path) -> None:
    async with house("embedded-5", tmp_path) as made:
        app = make_app(site_of(made.database))
        async with serving(app, "127.0.0.1", 0) as port:
            _, writer, head = await Door(made, port).raw()
            assert head.startswith(b"HTTP/1.1 404")
            writer.close()


@pytest.mark.parametrize(
    ("public", "ways"),
    [
        ("https://reach.example", ("wss://reach.example/mqtt",)),
        ("https://reach.example:8443/base", ("wss://reach.example:8443/base/mqtt",)),
        ("http://127.0.0.1:8080", ("ws://127.0.0.1:8080/mqtt",)),
        ("http://reach.example", ()),
    ],
)
def test_the_way_that_is_named_to_probes(public: str, ways: tuple[str, ...]) -> None:
    assert way_of(public) == ways
