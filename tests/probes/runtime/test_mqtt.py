import asyncio
import base64
import contextlib
import datetime as dt
import gc
import hashlib
import re
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from probes.runtime import mqtt
from probes.runtime.broker_url import parse_broker
from probes.runtime.monitor_tls import monitor_tls
from tests.world.mosquitto import Mosquitto, running_mosquitto
from tests.world.older_broker import only_3_1_1
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS

pytestmark = pytest.mark.needs("mosquitto")

WILL = ("will/topic", b"lost")
LIMITS = mqtt.Limits(messages=256, packet_bytes=128 << 10)


def connect(broker: mqtt.Broker, version: str = "5", **more: Any) -> Any:
    options: dict[str, Any] = {"client_id": "p1", "will": WILL, "limits": LIMITS} | more
    return mqtt.connect(broker, versions=[version], **options)


def test_the_private_hooks_are_where_they_were() -> None:
    assert aiomqtt.Client.__init__.__kwdefaults__["max_queued_incoming_messages"] is None
    for name in (
        "_on_connect", "_on_disconnect", "_on_publish", "_client_connect",
        "_on_socket_register_write",
    ):  # fmt: skip
        assert getattr(mqtt._Client, name) is not getattr(aiomqtt.Client, name)
    for name in ("_sock_close", "_sock_recv"):
        assert hasattr(aiomqtt.client.mqtt.Client, name)


@pytest.mark.parametrize("version", ["5", "3.1.1"])
async def test_both_versions_carry_messages_and_the_will(tmp_path: Path, version: str) -> None:
    with running_mosquitto(tmp_path, "max_packet_size 70000") as server:
        broker = parse_broker(server.url)
        async with connect(broker, version, client_id="reader") as reader:
            await reader.subscribe("#")
            stream = reader.messages()
            async with connect(broker, version) as writer:
                assert writer.packet_limit == (70000 if version == "5" else 0)
                assert writer.transport == f"mqtt+{version}"
                assert await writer.publish("a/b", b"x" * 60000) == ""
                assert await anext(stream) == mqtt.Message("a/b", b"x" * 60000)
                # A second connection of the same name takes over: the first one's will is sent.
                async with connect(broker, version):
                    assert await anext(stream) == mqtt.Message(*WILL)
                with pytest.raises(mqtt.BrokerError):
                    await writer.publish("a/b", b"")
            await stream.aclose()


async def test_a_refused_publish_says_why(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic read #\n")
    with running_mosquitto(tmp_path, f"acl_file {tmp_path}/acl") as server:
        broker = parse_broker(server.url)
        async with connect(broker) as writer:
            assert await writer.publish("a", b"") == "Not authorized"
        async with connect(broker, "3.1.1") as writer:
            assert await writer.publish("a", b"") == ""


async def test_wrong_credentials_are_one_line_without_the_secret(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path, anonymous=False) as server:
        with pytest.raises(mqtt.BrokerError) as caught:
            async with connect(parse_broker(server.url), user="u", secret="hush"):
                pass
        assert "ot authorized" in str(caught.value)
        assert "hush" not in str(caught.value)


async def test_nobody_there_and_a_death_under_way(tmp_path: Path) -> None:
    broker = parse_broker(f"mqtt://127.0.0.1:{free_port()}")
    with pytest.raises(mqtt.BrokerError, match="refused"):
        async with connect(broker):
            pass
    server = Mosquitto(tmp_path)
    server.start()
    async with connect(parse_broker(server.url)) as alive:
        server.kill()
        with pytest.raises(mqtt.BrokerError):
            async for _ in alive.messages():
                pass


async def test_the_death_of_a_broker_that_nobody_reads_from_leaves_no_traceback(
    tmp_path: Path,
) -> None:
    mishaps: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: mishaps.append(what))
    server = Mosquitto(tmp_path)
    server.start()

    async def publish_for_ever(writer: mqtt.BrokerConnection) -> None:
        while True:
            await writer.publish("a", b"")

    async with connect(parse_broker(server.url)) as writer:
        server.kill()
        with pytest.raises(mqtt.BrokerError):
            async with asyncio.timeout(HANG_SECONDS):
                await publish_for_ever(writer)
    gc.collect()
    assert mishaps == []


async def test_a_server_that_hangs_up_or_keeps_silent() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.close()

    async def keep_silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    mishaps: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: mishaps.append(what))
    for behaviour, words, seconds in (
        (hang_up, "closed the connection before", HANG_SECONDS),
        (keep_silent, "timed out", 0.3),
    ):
        server = await asyncio.start_server(behaviour, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(mqtt.BrokerError, match=words):
            async with connect(parse_broker(f"mqtt://127.0.0.1:{port}"), connack_seconds=seconds):
                pass
        server.close()
        await server.wait_closed()
    await asyncio.sleep(0.05)
    assert mishaps == []


async def test_a_connection_given_up_while_a_thread_makes_it_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()
        ended.set()

    mishaps: list[object] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, what: mishaps.append(what))
    begun, given_up = threading.Event(), threading.Event()
    connecting = mqtt.dial

    def slow(*arguments: Any, **options: Any) -> socket.socket:
        begun.set()
        assert given_up.wait(HANG_SECONDS)
        return connecting(*arguments, **options)

    monkeypatch.setattr(mqtt, "dial", slow)
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        broker = parse_broker(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        task = loop.create_task(connect(broker).__aenter__())
        await asyncio.to_thread(begun.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        given_up.set()
        async with asyncio.timeout(HANG_SECONDS):
            await ended.wait()
    assert mishaps == []


async def test_a_broker_of_3_1_1_only_refuses_5_and_takes_3_1_1(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path) as server:
        async with only_3_1_1(server.port) as port:
            broker = parse_broker(f"mqtt://127.0.0.1:{port}")
            with pytest.raises(mqtt.BrokerError):
                async with connect(broker):
                    pass
            async with connect(broker, "3.1.1") as alive:
                await alive.subscribe("t")
                await alive.publish("t", b"x")
                async for message in alive.messages():
                    assert message == mqtt.Message("t", b"x")
                    break


# paho leaves a socket whose TLS handshake failed to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_tls_is_verified(tmp_path: Path) -> None:
    config = certificate(tmp_path)
    with running_mosquitto(tmp_path, config) as server:
        broker = parse_broker(server.url.replace("mqtt://127.0.0.1", "mqtts://localhost"))
        with pytest.raises(mqtt.BrokerError, match="certificate verify failed"):
            async with connect(broker):
                pass
        monitor_tls.cache_clear()
        monitor_tls().load_verify_locations(tmp_path / "cert.pem")
        try:
            async with connect(broker) as alive:
                assert alive.transport == "mqtts+5"
        finally:
            monitor_tls.cache_clear()


async def test_websockets(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path, "protocol websockets") as server:
        broker = parse_broker(server.url.replace("mqtt:", "ws:"))
        async with connect(broker) as alive:
            await alive.publish("t", b"x")


def certificate(directory: Path) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return f"certfile {directory}/cert.pem\nkeyfile {directory}/key.pem"


async def test_a_packet_without_measure_is_not_read() -> None:
    over: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def announce(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"\x20\x02\x00\x00")
        subscribe = await reader.read(1000)
        writer.write(b"\x90\x03" + subscribe[2:4] + b"\x01")
        writer.write(b"\x30\xff\xff\xff\x7f" + bytes(1000))
        try:
            over.set_result(await reader.read())
        except OSError:
            over.set_result(b"")
        writer.close()

    mishaps: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: mishaps.append(what))
    server = await asyncio.start_server(announce, "127.0.0.1", 0)
    broker = parse_broker(f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with asyncio.timeout(HANG_SECONDS):
        async with connect(broker, "3.1.1") as connection:
            await connection.subscribe("t")
            with pytest.raises(mqtt.BrokerError):
                await anext(connection.messages())
            await over  # the connection was closed, whatever else was to come
    server.close()
    await server.wait_closed()
    assert mishaps == []


async def test_a_frame_without_end_is_not_kept() -> None:
    """Small packets for ever, all in one frame of a websocket, as paho keeps it."""
    sent = 0
    limits = mqtt.Limits(packet_bytes=16 << 10)

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        head = await reader.readuntil(b"\r\n\r\n")
        key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
        assert key is not None
        proof = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Protocol: mqtt\r\nSec-WebSocket-Accept: "
            + base64.b64encode(proof)
            + b"\r\n\r\n"
        )
        await reader.read(1000)
        writer.write(b"\x82\x7f" + struct.pack("!Q", 1 << 40) + b"\x20\x02\x00\x00")
        with contextlib.suppress(OSError):
            while sent < 50_000_000:
                writer.write(b"\xd0\x00" * 8192)  # the answer to a ping
                sent += 16384
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(flood, "127.0.0.1", 0)
    broker = parse_broker(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/mqtt")
    async with asyncio.timeout(HANG_SECONDS):
        with pytest.raises(mqtt.BrokerError):
            async with connect(broker, "3.1.1", limits=limits) as connection:
                await anext(connection.messages())
    assert 32 << 10 < sent < 50_000_000, "it was read for a while"
    server.close()
    await server.wait_closed()


async def test_a_flood_is_not_kept(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path, "max_queued_messages 0") as server:
        broker = parse_broker(server.url)
        async with (
            connect(broker, client_id="a") as reader,
            connect(broker, client_id="b") as flooder,
        ):
            await reader.subscribe("t")
            for number in range(256 + 50):
                await flooder.publish("t", b"%d" % number)
            # Whoever reads its answer has read all that the broker sent before.
            await reader.subscribe("u")
            await reader.subscribe("v")
            arriving = reader.messages()
            kept = [(await anext(arriving)).payload for _ in range(256)]
            assert kept == [b"%d" % number for number in range(256)]
            await flooder.publish("t", b"next")
            assert (await anext(arriving)).payload == b"next"


async def test_a_connection_that_ends_after_it_was_given_up_is_no_error() -> None:
    client = mqtt._Client("127.0.0.1", 1)
    client._connected.cancel()
    client._on_disconnect(None, None, None, ReasonCode(PacketTypes.DISCONNECT))
    assert client._connected.cancelled()


@pytest.mark.parametrize("known", [False, True])
async def test_a_socket_that_is_closed_before_the_loop_watches_it_is_no_error(known: bool) -> None:
    """As when a machine wakes up, or a broker dies while a thread connects (`known`): the log had a
    traceback."""
    client, errors, loop = mqtt._Client("127.0.0.1", 1), list[Any](), asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    ours, theirs = socket.socketpair()
    client._client._sock = ours
    client._on_socket_register_write(client._client, None, ours)
    client._client._sock = ours if known else None
    ours.close()
    theirs.close()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert errors == []


async def test_a_cancellation_that_arrives_with_the_answer_is_kept() -> None:
    client = mqtt._Client("127.0.0.1", 1)
    answered = asyncio.Event()
    waiting = asyncio.create_task(client._wait_for(answered.wait(), 60))
    await asyncio.sleep(0)
    answered.set()
    # asyncio.wait_for would run the wait as a task.
    while len(asyncio.all_tasks()) > 2:  # noqa: ASYNC110 - no event to wait for
        await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(aiomqtt.MqttError, match="timed out"):
        await client._wait_for(asyncio.Event().wait(), 0.01)
