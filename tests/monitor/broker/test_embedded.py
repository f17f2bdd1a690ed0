"""The embedded broker as a thing: starting, endings, crowds. Access is in test_access."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from copy import copy

import aiomqtt
import pytest

from monitor.broker import access, packets
from monitor.broker import embedded as embedded_module
from monitor.broker.connection import MAX_EVENTS, Event, Housekeeping, ServerConnection
from monitor.broker.embedded import EmbeddedBroker, EmbeddedBrokerError
from monitor.broker.properties import field
from monitor.enrolment import Credentials
from monitor.store.records import Seen
from probes.runtime.clock import wall_clock
from probes.wire import topics
from tests.world.brokers import MONITOR_SECRET, House, until
from tests.world.waiting import HANG_SECONDS, eventually


async def anybody(user: str, secret: str) -> bool:
    return secret == "s"


def broker(
    host: str = "127.0.0.1", port: int = 0, *, awaits_collector: bool = False
) -> EmbeddedBroker:
    return EmbeddedBroker(host, port, anybody, "monitor", "m", awaits_collector=awaits_collector)


async def test_port_in_use_and_foreign_addresses_are_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EmbeddedBrokerError, match=r"^127\.0\.0\.1:\d+: .*in use"):
            async with broker(port=taken.getsockname()[1]):
                pass
    for host in ("0.0.0.0", "192.0.2.1", "example.org"):
        with pytest.raises(EmbeddedBrokerError, match="not loopback"):
            async with broker(host):
                pass


async def test_rubbish_and_half_packets_hurt_nobody(embedded: House) -> None:
    async with embedded.ear() as ear, embedded.client(embedded.two) as other:
        for rubbish in (b"", b"\x00" * 100, b"\x10\xff\xff\xff\xff", b"\x10\x05ab", b"GET / "):
            _, writer = await asyncio.open_connection("127.0.0.1", embedded.probes_port)
            writer.write(rubbish)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        await other.publish(topics.status(embedded.two.user), b"fine", qos=1)
        assert await ear.heard() == [(topics.status(embedded.two.user), b"fine")]


async def test_a_stranger_with_a_probes_id_does_not_end_its_session(embedded: House) -> None:
    async with embedded.client() as monitor, embedded.client(embedded.one) as client:
        await client.subscribe(topics.ack(embedded.one.user), qos=1)
        with pytest.raises(aiomqtt.MqttError):
            async with embedded.client(embedded.one, password="guess"):
                pass
        await monitor.publish(topics.ack(embedded.one.user), b"stored", qos=1)
        assert await until(client, topics.ack(embedded.one.user)) == []


async def test_retests_reach_the_probes_of_their_network_and_nobody_else(embedded: House) -> None:
    """As in `reachwatch up`: where a probe is, is what it has measured last."""
    here, there = embedded.one, embedded.two
    registry = embedded.database.registry
    await registry.record_seen(
        [
            Seen(probe=here.probe, at=wall_clock(), country="RU", asn=64501),
            Seen(probe=there.probe, at=wall_clock(), country="FR", asn=64503),
        ]
    )
    credentials = Credentials(registry, seconds=0.1)
    marker = topics.events("marker", "FR")
    async with EmbeddedBroker(
        *("127.0.0.1", 0, credentials, "monitor", MONITOR_SECRET),
        recheck_seconds=0.1,
        may_receive=access.near(credentials.place_of),
    ) as running:
        house = copy(embedded)
        house.probes_port = house.monitor_port = running.port
        async with house.client() as monitor, house.client(here) as a, house.client(there) as b:
            for client in (a, b):
                await client.subscribe([(f"{access.RETESTS}#", 1), (marker, 1)])
            users = here.user, there.user
            await eventually(lambda: None not in map(credentials.place_of, users))
            for topic in (topics.retest("RU", 64501), topics.retest("FR", 64503), marker):
                await monitor.publish(topic, b"x", qos=1)
            assert await until(a, marker) == [(topics.retest("RU", 64501), b"x")]
            assert await until(b, marker) == [(topics.retest("FR", 64503), b"x")]


async def test_takeover_by_itself_says_lost_before_the_new_hello(embedded: House) -> None:
    status = topics.status(embedded.one.user)
    will = aiomqtt.Will(status, b"lost", qos=1)
    async with embedded.ear() as ear:
        older = embedded.client(embedded.one, will=will)
        await older.__aenter__()
        async with embedded.client(embedded.one, will=will) as newer:
            await newer.subscribe(topics.ack(embedded.one.user), qos=1)
            await newer.publish(status, b"hello", qos=1)
            await ear.client.publish(topics.ack(embedded.one.user), b"x", qos=1)
            assert await until(newer, topics.ack(embedded.one.user)) == []
        said = [payload for topic, payload in await ear.heard() if topic == status]
        assert said == [b"lost", b"hello"]
        with pytest.raises(aiomqtt.MqttError):
            await until(older, "never", 1)


async def test_a_burst_before_goodbye_arrives_whole(embedded: House) -> None:
    own = topics.measurements(embedded.one.user)
    async with embedded.ear() as ear:
        async with embedded.client(embedded.one) as client:
            for number in range(300):
                await client.publish(own, str(number).encode(), qos=0)
        async with asyncio.timeout(HANG_SECONDS):
            messages = aiter(ear.client.messages)
            got = [(await anext(messages)).payload for _ in range(300)]
    assert [int(payload) for payload in got] == list(range(300))


async def test_a_crowd_connects_and_subscribes_while_events_are_retained(embedded: House) -> None:
    async with embedded.client() as monitor:
        for number in range(20):
            await monitor.publish(topics.events(f"s{number}", "RU"), b"open", qos=1, retain=True)
        enrolled = [await embedded.enrol() for _ in range(15)]
        marker = topics.events("zz", "ZZ")

        async def one(index: int) -> int:
            async with embedded.client(enrolled[index]) as client:
                await client.subscribe(topics.ack(enrolled[index].user), qos=1)
                await client.subscribe(f"{topics.PREFIX}/events/#", qos=1)
                await client.publish(topics.measurements(enrolled[index].user), b"x", qos=1)
                got: set[str] = set()
                async with asyncio.timeout(HANG_SECONDS):
                    async for message in client.messages:
                        got.add(str(message.topic))
                        if len(got) == 20 and marker not in got:
                            return len(got)
                return 0

        async with embedded.ear(topics.ALL_MEASUREMENTS) as ear:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(index)) for index in range(15)]
            assert [task.result() for task in tasks] == [20] * 15
            async with asyncio.timeout(HANG_SECONDS):
                messages = aiter(ear.client.messages)
                heard = {str((await anext(messages)).topic) for _ in range(15)}
            assert heard == {topics.measurements(each.user) for each in enrolled}


async def test_a_connecting_client_gets_no_retained_message_it_did_not_ask_for(
    embedded: House,
) -> None:
    async with embedded.client() as monitor, embedded.client(embedded.one) as one:
        await one.subscribe(topics.CATALOGUE, qos=1)
        await monitor.publish(topics.CATALOGUE, b"catalogue", qos=1, retain=True)
        async with embedded.client(embedded.two) as two:
            await two.subscribe(topics.ack(embedded.two.user), qos=1)
            await monitor.publish(topics.ack(embedded.two.user), b"x", qos=1)
            assert await until(two, topics.ack(embedded.two.user)) == []


async def test_it_logs_no_address_and_no_secret(
    embedded: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(aiomqtt.MqttError):
        async with embedded.client(embedded.one, password="my-secret-guess"):
            pass
    async with embedded.client(embedded.one) as client:
        await client.publish(topics.ack("x"), b"forged", qos=1)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("reachwatch")]
    assert any("credentials are wrong" in line for line in ours)
    assert any("may not publish to" in line for line in ours)
    assert not any("127.0.0.1" in line or "secret" in line for line in ours)


def packet(kind: int, body: bytes, flags: int = 0) -> bytes:
    return packets.Packet(kind, flags, body).encode()


def hello(user: str, secret: str = "s") -> bytes:
    head = b"\x00\x04MQTT\x04\xc2\x00\x3c"
    return packet(1, head + field(user) + field(user) + field(secret))


async def speak(port: int, *sent: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A client by hand, so that it can misbehave."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"".join(sent))
    return reader, writer


async def end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_a_client_that_falls_silent_is_disconnected_and_its_will_published() -> None:
    """Half-open: nothing arrives any more, not even the end of the connection."""
    async with broker() as running, monitor_of(running) as monitor:
        await monitor.subscribe(topics.ALL_STATUS, qos=1)
        will = aiomqtt.Will(topics.status("p-1"), b"lost", qos=1)
        client = aiomqtt.Client(
            "127.0.0.1", running.port, username="p-1", password="s", will=will, keepalive=3600
        )
        async with client:
            for link in running._open:
                if link.client is not None and not link.client.trusted:
                    assert link.silence == 600 * 1.5, "a longer keepalive is not granted"
                    link.active -= link.silence
            assert (await anext(aiter(monitor.messages))).payload == b"lost"
            with contextlib.suppress(aiomqtt.MqttError):
                await client._disconnected
        await until_gone(running, 1)


async def test_that_the_broker_itself_stood_still_is_no_silence_of_its_clients(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What they sent meanwhile was not read. The collector's connection would be lost as well, and
    with it each batch on its way, until its probe sends it again."""
    monkeypatch.setattr(embedded_module, "SWEEP_SECONDS", 0.05)
    async with broker() as running, monitor_of(running) as monitor:
        (link,) = running._open
        link.silence = 1.0
        time.sleep(2.0)
        await asyncio.sleep(0.3)
        assert link in running._open
        link.silence = 0.0
        with contextlib.suppress(aiomqtt.MqttError):
            await monitor._disconnected


def monitor_of(running: EmbeddedBroker) -> aiomqtt.Client:
    return aiomqtt.Client(
        "127.0.0.1", running.port, username="monitor", password="m", timeout=HANG_SECONDS
    )


async def until_gone(running: EmbeddedBroker, left: int) -> None:
    await eventually(lambda: running._listener.connections == left)


async def test_whoever_connects_and_says_nothing_takes_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded_module, "MAX_WAITING", 5)
    async with broker() as running:
        silent = [await speak(running.port) for _ in range(20)]
        async with aiomqtt.Client(
            "127.0.0.1", running.port, username="p-1", password="s", timeout=HANG_SECONDS
        ) as client:
            await client.publish(topics.status("p-1"), b"x", qos=1)
            await until_gone(running, 5)  # the client, and four that are silent
            for link in running._open:
                if link.client is None:
                    link.active -= embedded_module.CONNECT_SECONDS
            await until_gone(running, 1)
        for _, writer in silent:
            await end(writer)


async def test_a_probe_that_reads_nothing_is_cut_off_and_others_are_served() -> None:
    """What it does not read is bounded: the broker's memory is not its."""
    topic = topics.retest("RU", 1)
    subscribe = packet(8, b"\x00\x01" + field(topic) + b"\x00", 2)
    async with broker() as running, monitor_of(running) as monitor:
        _, deaf = await speak(running.port, hello("p-1"), subscribe)
        reader, writer = await speak(running.port, hello("p-2"), subscribe)
        await reader.readexactly(4 + 5)
        await eventually(lambda: len(running.router.clients) == 3)
        reading = asyncio.create_task(reader.read())
        sent = 0
        while len(running.router.clients) == 3:
            # Each fills the kernel's buffers first.
            await monitor.publish(topic, b"x" * 200_000, qos=1)
            sent += 1
            assert sent < 300
        assert [client.user for client in running.router.clients] == ["monitor", "p-2"]
        await monitor.publish(topic, b"last", qos=1)
        writer.write(b"\xe0\x00")
        assert (await reading).endswith(b"last")
        await end(writer)
        await end(deaf)


async def test_while_the_monitor_reads_nothing_probes_wait_and_nothing_is_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded_module, "MONITOR_SLOW_BYTES", 1 << 20)
    everything = packet(8, b"\x00\x01" + field(topics.ALL_MEASUREMENTS) + b"\x00", 2)
    own = field(topics.measurements("p-1"))
    async with broker() as running:
        slow = packet(
            1, b"\x00\x04MQTT\x04\xc2\x00\x3c" + field("c") + field("monitor") + field("m")
        )
        reader, writer = await speak(running.port, slow, everything)
        # Else the kernel may keep nearly all that the probe sends, and nobody has to wait.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        await reader.readexactly(4 + 5)
        _, probe = await speak(running.port, hello("p-1"))
        sizes = 0
        for _ in range(30):
            probe.write(packet(3, own + b"x" * 200_000))
            sizes += 200_000
        await eventually(lambda: running.monitor_is_slow)
        await eventually(lambda: running.waiting)
        (link,) = running._slow
        assert link.transport.get_write_buffer_size() < 4 << 20
        got = 0
        while got < sizes:
            got += len(await reader.read(1 << 20))
        assert not running.monitor_is_slow
        await end(probe)
        await end(writer)


async def test_without_a_collector_probes_wait_and_nothing_is_lost() -> None:
    """When a monitor starts, its probes connect before its collector has subscribed, and when that
    has lost its connection they stay."""
    names = [f"p-{number}" for number in range(embedded_module.RESUMED_AT_ONCE + 8)]
    async with broker(awaits_collector=True) as running, contextlib.AsyncExitStack() as stack:

        async def connect(name: str) -> aiomqtt.Client:
            return await stack.enter_async_context(
                aiomqtt.Client(
                    "127.0.0.1", running.port, username=name, password="s", timeout=HANG_SECONDS
                )
            )

        async def publish(probe: aiomqtt.Client, name: str) -> None:
            for topic in (topics.status(name), topics.measurements(name)):
                await probe.publish(topic, b"x", qos=1)

        said = {topic(name) for name in names for topic in (topics.status, topics.measurements)}
        probes = [await connect(name) for name in names]
        for _ in range(2):
            await eventually(lambda: len(running.waiting) == len(names))
            async with asyncio.TaskGroup() as group, monitor_of(running) as monitor:
                publishing = [
                    group.create_task(publish(*one)) for one in zip(probes, names, strict=True)
                ]
                await monitor.subscribe(topics.ALL_MEASUREMENTS, qos=1)
                assert len(running.waiting) == len(names)
                await monitor.subscribe(topics.ALL_STATUS, qos=1)
                await asyncio.wait(publishing)
                messages = aiter(monitor.messages)
                async with asyncio.timeout(HANG_SECONDS):
                    assert {str((await anext(messages)).topic) for _ in said} == said


async def test_one_probe_is_not_read_faster_than_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_module, "BURST_BYTES", 50 * embedded_module.PACKET_COST_BYTES)
    monkeypatch.setattr(embedded_module, "RATE_BYTES", 1)
    own = topics.measurements("p-1")
    async with broker() as running, monitor_of(running) as monitor:
        await monitor.subscribe(topics.ALL_MEASUREMENTS, qos=1)
        _, writer = await speak(running.port, hello("p-1"))
        await eventually(lambda: len(running.router.clients) == 2)
        for _ in range(10):
            writer.write(packet(3, field(own) + b"x") * 1000)
        messages = aiter(monitor.messages)
        for _ in range(50):
            await anext(messages)
        async with aiomqtt.Client(
            "127.0.0.1", running.port, username="p-2", password="s", timeout=HANG_SECONDS
        ) as other:
            await other.publish(topics.measurements("p-2"), b"y", qos=1)
        got = [(await anext(messages)).payload]
        while got[-1] != b"y":
            got.append((await anext(messages)).payload)
        # Its burst is over; the rest stays with its sender.
        assert len(got) < MAX_EVENTS + 50
        await end(writer)


async def test_one_that_connects_again_has_no_other_burst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_module, "BURST_BYTES", 50 * embedded_module.PACKET_COST_BYTES)
    monkeypatch.setattr(embedded_module, "RATE_BYTES", 1)
    own = topics.measurements("p-1")
    async with broker() as running, monitor_of(running) as monitor:
        await monitor.subscribe(topics.ALL_MEASUREMENTS, qos=1)
        writers = []
        for _ in range(5):
            reader, writer = await speak(running.port, hello("p-1"))
            await reader.read(1)  # it is let in, instead of the one before
            writer.write(packet(3, field(own) + b"x") * 30)
            await writer.drain()
            writers.append(writer)
        async with aiomqtt.Client(
            "127.0.0.1", running.port, username="p-2", password="s", timeout=HANG_SECONDS
        ) as other:
            await other.publish(topics.measurements("p-2"), b"y", qos=1)
        messages = aiter(monitor.messages)
        got = [(await anext(messages)).payload]
        while got[-1] != b"y":
            got.append((await anext(messages)).payload)
        # Thirty, and what is left of the fifty; with a burst for each connection it is all of them.
        assert 30 < len(got) <= 50 + MAX_EVENTS < 5 * 30
        for writer in writers:
            await end(writer)


@pytest.mark.parametrize("flood", [packet(12, b""), packet(4, b"\0\1")], ids=["ping", "puback"])
async def test_a_flood_of_packets_without_meaning_stays_with_its_sender(
    monkeypatch: pytest.MonkeyPatch, flood: bytes
) -> None:
    """Pings and acknowledgements of nothing: 0.4 MB a second of them kept all others waiting."""
    monkeypatch.setattr(embedded_module, "BURST_BYTES", 50 * embedded_module.PACKET_COST_BYTES)
    monkeypatch.setattr(embedded_module, "RATE_BYTES", 1)
    taken = 0
    whole = ServerConnection.receive

    def counted(connection: ServerConnection, data: bytes) -> list[Event]:
        nonlocal taken
        events = whole(connection, data)
        taken += sum(isinstance(event, Housekeeping) for event in events)
        return events

    monkeypatch.setattr(ServerConnection, "receive", counted)
    async with broker() as running, monitor_of(running) as monitor:
        await monitor.subscribe(topics.ALL_MEASUREMENTS, qos=1)
        _, writer = await speak(running.port, hello("p-1"))
        await eventually(lambda: len(running.router.clients) == 2)
        writer.write(flood * 100_000)
        await eventually(lambda: taken > 50)
        async with aiomqtt.Client(
            "127.0.0.1", running.port, username="p-2", password="s", timeout=HANG_SECONDS
        ) as other:
            await other.publish(topics.measurements("p-2"), b"y", qos=1)
        assert (await anext(aiter(monitor.messages))).payload == b"y"
        assert taken < MAX_EVENTS + 50
        await end(writer)


async def test_any_secret_is_compared() -> None:
    """Also one with letters beyond ASCII, which a comparison of texts in constant time refuses."""
    async with broker() as running:
        for secret in ("é", "M", "mm", "m "):
            reader, writer = await speak(running.port, hello("monitor", secret))
            assert (await reader.read())[:2] == b"\x20\x02"
            await end(writer)
        assert not running.router.clients
        async with monitor_of(running):
            assert len(running.router.clients) == 1


@pytest.mark.needs("mosquitto-clients")
@pytest.mark.parametrize("version", ["mqttv311", "mqttv5"])
async def test_mosquittos_own_clients(version: str, embedded: House) -> None:
    one = embedded.one
    common = ["-h", "127.0.0.1", "-p", str(embedded.probes_port), "-V", version]
    monitor = [*common, "-u", "monitor", "-P", MONITOR_SECRET]
    topic = topics.measurements(one.user)
    listening = await asyncio.create_subprocess_exec(
        "stdbuf", "-oL", "mosquitto_sub", *monitor, "-t", topics.ALL_MEASUREMENTS, "-q", "2",
        "-C", "2", "-v", "-d",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert listening.stdout is not None
    while b"Subscribed" not in await listening.stdout.readline():
        pass

    async def publish(*more: str) -> tuple[int | None, bytes]:
        sending = await asyncio.create_subprocess_exec(
            "mosquitto_pub", *common, "-u", one.user, "-P", one.secret, "-i", "any", *more,
            stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        out, err = await sending.communicate()
        return sending.returncode, out + err

    for qos in "01":
        assert await publish("-t", topic, "-q", qos, "-m", f"with {qos}") == (0, b"")
    got = (await listening.communicate())[0].decode()
    assert f"{topic} with 0" in got
    assert f"{topic} with 1" in got
    foreign = await publish("-t", topics.ack(one.user), "-q", "1", "-m", "x")
    assert (b"Not authorized" in foreign[1]) is (version == "mqttv5")
    refused = await publish("-t", topic, "-q", "2", "-m", "x")
    assert refused[0] != 0 or refused[1], "QoS 2 is not served"


async def test_it_ends_at_once_with_clients_of_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that read what it writes are waited for no longer than until they have read it."""
    for limit in ("CONNECT_SECONDS", "CLOSE_SECONDS"):
        monkeypatch.setattr(embedded_module, limit, 3600.0)
    async with broker() as running:
        opened = [
            await speak(running.port),
            await speak(running.port, b"\x10"),
            await speak(running.port, hello("p-1")),
            await speak(running.port, hello("p-2"), packet(3, b"\x00\x01")[:3]),
        ]
        await eventually(lambda: len(running.router.clients) == 2)
    for reader, writer in opened:
        await reader.read()
        await end(writer)
