"""The monitor's adapter around aiomqtt, on both brokers and on none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from monitor.broker import client
from probes.runtime.mqtt import BrokerError
from probes.wire import topics
from tests.world.brokers import MONITOR_SECRET, House, house
from tests.world.waiting import HANG_SECONDS

pytestmark = pytest.mark.needs("mosquitto")


def test_a_bad_url_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"^must begin with [^\n]+$"):
        client.connected("http://a", "", "")


@pytest.mark.parametrize("kind", ["embedded", "mosquitto-5"])
async def test_the_best_version_is_found_and_messages_arrive(kind: str, tmp_path: Path) -> None:
    async with (
        house(kind, tmp_path) as made,
        client.connected(made.monitor_url, "monitor", MONITOR_SECRET) as one,
        client.connected(made.monitor_url, "monitor", MONITOR_SECRET) as two,
    ):
        assert one.version == "5"
        event = topics.events("wechat", "RU")
        await two.publish(event, b"kept", qos=1, retain=True)
        await one.subscribe(f"{topics.PREFIX}/events/#")
        await two.publish(topics.events("other", "RU"), b"now")
        got = []
        async with asyncio.timeout(HANG_SECONDS):
            async for message in one.messages():
                got.append((message.topic, message.payload, message.retained))
                if len(got) == 2:
                    break
        assert sorted(got) == [
            (topics.events("other", "RU"), b"now", False),
            (event, b"kept", True),
        ]


async def test_a_refusal_is_one_line_without_the_secret(tmp_path: Path) -> None:
    async with house("embedded", tmp_path) as made:
        with pytest.raises(BrokerError) as caught:
            async with client.connected(made.monitor_url, "monitor", "wrong-secret"):
                pass
    assert "wrong-secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_connection_that_dies_says_so_everywhere(tmp_path: Path) -> None:
    made: House
    async with house("mosquitto-5", tmp_path) as made:
        stack = client.connected(made.monitor_url, "monitor", MONITOR_SECRET)
        connection = await stack.__aenter__()
    with pytest.raises(BrokerError):
        async for _ in connection.messages():
            pass
    with pytest.raises(BrokerError):
        await connection.publish("x", b"y")
    with pytest.raises(BrokerError):
        await connection.subscribe("x")
    await stack.__aexit__(None, None, None)
