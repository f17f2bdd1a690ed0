"""The embedded broker as a thing: starting, TLS, endings, crowds. Access is in test_access."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from pathlib import Path

import aiomqtt
import pytest

from monitor.broker import EmbeddedBroker, EmbeddedBrokerError, ListenerCertificate
from monitor.broker.embedded import _Router
from probes.wire import topics
from tests.world.brokers import House, until
from tests.world.pki import Authority
from tests.world.waiting import HANG_SECONDS


async def anybody(user: str, secret: str) -> bool:
    return secret == "s"


def broker(
    host: str = "127.0.0.1", port: int = 0, **options: ListenerCertificate
) -> EmbeddedBroker:
    return EmbeddedBroker(host, port, anybody, "monitor", "m", **options)


async def test_port_in_use_and_foreign_addresses_are_one_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(EmbeddedBrokerError, match=r"^127\.0\.0\.1:\d+: .*in use"):
            async with broker(port=taken.getsockname()[1]):
                pass
    for host in ("0.0.0.0", "192.0.2.1", "example.org"):
        with pytest.raises(EmbeddedBrokerError, match="needs a certificate"):
            async with broker(host):
                pass


async def test_tls(tmp_path: Path) -> None:
    authority = Authority()
    leaf = authority.issue("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    chain.write_text(leaf.chain_pem)
    key.write_text(leaf.key_pem)
    context = ssl.create_default_context(cadata=authority.pem)
    async with broker(certificate=ListenerCertificate(chain, key)) as running:
        assert running.url == f"mqtts://127.0.0.1:{running.port}"
        async with aiomqtt.Client(
            "127.0.0.1", running.port, username="p-1", password="s", tls_context=context
        ) as client:
            await client.publish(topics.status("p-1"), b"x", qos=1)
        # Somebody who speaks no TLS is no trouble.
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await reader.read()
        writer.close()
        await writer.wait_closed()
    with pytest.raises(EmbeddedBrokerError, match="missing"):
        async with broker(certificate=ListenerCertificate(tmp_path / "missing", key)):
            pass


async def test_mqtt_5_is_answered_at_once(embedded: House) -> None:
    """amqtt alone never answers: the client would wait out its timeout."""
    client = aiomqtt.Client(
        "127.0.0.1",
        embedded.probes_port,
        username=embedded.one.user,
        password=embedded.one.secret,
        protocol=aiomqtt.ProtocolVersion.V5,
        timeout=HANG_SECONDS,
    )
    async with asyncio.timeout(30):
        with pytest.raises(aiomqtt.MqttError, match="nsupported"):
            await client.__aenter__()
    await asyncio.sleep(0.05)


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
    """amqtt deletes the session of a client id before it asks for the secret."""
    async with embedded.client() as monitor, embedded.client(embedded.one) as client:
        await client.subscribe(topics.ack(embedded.one.user), qos=1)
        with pytest.raises(aiomqtt.MqttError):
            async with embedded.client(embedded.one, password="guess"):
                pass
        await monitor.publish(topics.ack(embedded.one.user), b"stored", qos=1)
        assert await until(client, topics.ack(embedded.one.user)) == []


async def test_takeover_by_itself_says_lost_before_the_new_hello(embedded: House) -> None:
    status = topics.status(embedded.one.user)
    will = aiomqtt.Will(status, b"lost", qos=1)
    async with embedded.ear() as ear:
        older = embedded.client(embedded.one, will=will)
        await older.__aenter__()
        async with embedded.client(embedded.one, will=will) as newer:
            await newer.subscribe(topics.ack(embedded.one.user), qos=1)
            await newer.publish(status, b"hello", qos=1)
            await asyncio.sleep(1.2)  # amqtt tidies up old sessions once a second
            await ear.client.publish(topics.ack(embedded.one.user), b"x", qos=1)
            assert await until(newer, topics.ack(embedded.one.user)) == []
        said = [payload for topic, payload in await ear.heard() if topic == status]
        assert said == [b"lost", b"hello"]
        with pytest.raises(aiomqtt.MqttError):
            await until(older, "never", 1)


async def test_a_burst_before_goodbye_arrives_whole(embedded: House) -> None:
    """amqtt forgets what is queued in a session that ends."""
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
    """amqtt iterates over its subscriptions while it sends; nobody may lose a message."""
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


def test_what_we_rely_on_in_amqtt_is_there() -> None:
    """Private parts of amqtt that a release might move (pinned <0.13)."""
    for name in (
        "external_connected",
        "_publish_retained_messages_for_subscription",
        "_handle_client_session",
    ):
        assert callable(getattr(_Router, name))


async def test_it_logs_no_address_and_no_secret(
    embedded: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with pytest.raises(aiomqtt.MqttError):
        async with embedded.client(embedded.one, password="my-secret-guess"):
            pass
    async with embedded.client(embedded.one) as client:
        await client.publish(topics.ack("x"), b"forged", qos=1)
    ours = [r.getMessage() for r in caplog.records if r.name.startswith(("reachwatch", "amqtt"))]
    assert any("credentials are wrong" in line for line in ours)
    assert any("may not publish to" in line for line in ours)
    assert not any("127.0.0.1" in line or "secret" in line for line in ours)
