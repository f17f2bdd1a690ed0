"""The monitor's adapter around aiomqtt, on both brokers and on none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiomqtt
import pytest

from monitor.broker import client
from monitor.broker.client import BrokerUnreachableError
from probes.wire import topics
from tests.world.brokers import MONITOR_SECRET, House, house
from tests.world.mosquitto import free_port


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("mqtt://a", "mqtt://a:1883"),
        ("mqtts://u:s@a.example", "mqtts://a.example:8883"),
        ("wss://a/x", "wss://a:443"),
        ("mqtt://[::1]:9", "mqtt://[::1]:9"),
    ],
)
def test_urls(url: str, name: str) -> None:
    assert client.parse_url(url).name == name


@pytest.mark.parametrize("url", ["", "http://a", "mqtt://", "mqtt://a:x", "mqtt://[a"])
def test_bad_urls_are_one_line(url: str) -> None:
    with pytest.raises(ValueError, match=r"^broker URL: [^\n]+$"):
        client.parse_url(url)


@pytest.mark.parametrize(("kind", "version"), [("embedded", "3.1.1"), ("mosquitto-5", "5")])
async def test_the_best_version_is_found_and_messages_arrive(
    kind: str, version: str, tmp_path: Path
) -> None:
    async with (
        house(kind, tmp_path) as made,
        client.connected(made.monitor_url, "monitor", MONITOR_SECRET) as one,
        client.connected(made.monitor_url, "monitor", MONITOR_SECRET) as two,
    ):
        assert one.version == version
        event = topics.events("wechat", "RU")
        await two.publish(event, b"kept", qos=1, retain=True)
        await one.subscribe(f"{topics.PREFIX}/events/#")
        await two.publish(topics.events("other", "RU"), b"now")
        got = []
        async with asyncio.timeout(5):
            async for message in one.messages():
                got.append((message.topic, message.payload, message.retained))
                if len(got) == 2:
                    break
        assert sorted(got) == [
            (topics.events("other", "RU"), b"now", False),
            (event, b"kept", True),
        ]


async def test_nobody_there_refused_and_hanging_up_are_one_line(tmp_path: Path) -> None:
    port = free_port()
    with pytest.raises(BrokerUnreachableError, match=f"^mqtt://127.0.0.1:{port}: .*refused"):
        async with client.connected(f"mqtt://127.0.0.1:{port}", "u", "topsecret"):
            pass
    server = await asyncio.start_server(lambda _, w: w.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BrokerUnreachableError, match="hung up"):
            async with client.connected(f"mqtt://127.0.0.1:{port}", "u", "topsecret"):
                pass
    async with house("embedded", tmp_path) as made:
        with pytest.raises(BrokerUnreachableError) as caught:
            async with client.connected(made.monitor_url, "monitor", "wrong-secret"):
                pass
        assert "wrong-secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


async def test_a_connection_that_dies_says_so_everywhere(tmp_path: Path) -> None:
    made: House
    async with house("mosquitto-5", tmp_path) as made:
        stack = client.connected(made.monitor_url, "monitor", MONITOR_SECRET)
        connection = await stack.__aenter__()
    with pytest.raises(BrokerUnreachableError):
        async for _ in connection.messages():
            pass
    with pytest.raises(BrokerUnreachableError):
        await connection.publish("x", b"y")
    with pytest.raises(BrokerUnreachableError):
        await connection.subscribe("x")
    await stack.__aexit__(None, None, None)


def test_what_we_rely_on_in_aiomqtt_is_there() -> None:
    assert callable(aiomqtt.Client._on_disconnect)
    assert callable(client._Client.drop)
