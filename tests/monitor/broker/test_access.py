"""Who may publish and read what: as a table, and on every broker of ours by what is
delivered, because SUBACK and PUBACK say "granted" to what is not."""

from __future__ import annotations

import asyncio

import aiomqtt
import pytest

from monitor.broker.access import may_publish, may_subscribe
from probes.wire import topics
from probes.wire.bounds import MAX_PACKET_BYTES
from tests.world.brokers import House, until
from tests.world.waiting import HANG_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.needs("mosquitto")]

P, Q = "p-0000000000000001", "p-0000000000000002"


def test_publish_rules() -> None:
    assert may_publish(P, topics.measurements(P))
    assert may_publish(P, topics.status(P))
    for topic in (
        topics.measurements(Q),
        topics.status(Q),
        topics.ack(P),
        topics.ack(Q),
        topics.CATALOGUE,
        topics.retest("RU", 1),
        topics.events("wechat", "RU"),
        f"{topics.measurements(P)}/x",
        "",
        "$SYS/x",
    ):
        assert not may_publish(P, topic), topic


def test_subscribe_rules() -> None:
    for topic in (
        topics.ack(P),
        topics.CATALOGUE,
        topics.retest("RU", 64501),
        f"{topics.PREFIX}/retest/RU/+",
        f"{topics.PREFIX}/retest/+/+",
        f"{topics.PREFIX}/events/#",
        topics.events("wechat", "RU"),
    ):
        assert may_subscribe(P, topic), topic
    for topic in (
        topics.ack(Q),
        topics.ALL_MEASUREMENTS,
        topics.ALL_STATUS,
        topics.measurements(P),
        f"{topics.PREFIX}/#",
        f"{topics.PREFIX}/+/{P}",
        f"{topics.PREFIX}/ack/+",
        "reachwatch/#",
        "#",
        "+/v1/ack/x",
        "$SYS/#",
        f"$share/collectors/{topics.ALL_MEASUREMENTS}",
        f"$share/x/{topics.ack(P)}",
    ):
        assert not may_subscribe(P, topic), topic


async def _mute(client: aiomqtt.Client, topic: str, payload: bytes, **options: bool) -> None:
    """Publish; a broker may refuse in any way it likes."""
    try:
        await client.publish(topic, payload, qos=1, timeout=0.3, **options)
    except aiomqtt.MqttError:
        pass


async def _cut_off(client: aiomqtt.Client) -> None:
    """The broker ends this connection."""
    with pytest.raises(aiomqtt.MqttError):
        await until(client, "never")


async def test_own_topics_are_delivered(broker: House) -> None:
    one = broker.one
    async with broker.ear() as ear, broker.client(one) as client:
        await client.subscribe(topics.ack(one.user), qos=1)
        await client.publish(topics.measurements(one.user), b"batch", qos=1)
        await client.publish(topics.status(one.user), b"hello", qos=1)
        assert await ear.heard() == [
            (topics.measurements(one.user), b"batch"),
            (topics.status(one.user), b"hello"),
        ]
        await ear.client.publish(topics.ack(one.user), b"stored", qos=0)
        assert await until(client, topics.ack(one.user)) == []


async def test_everything_for_all_probes_is_readable(broker: House) -> None:
    marker = topics.events("wechat", "RU")
    async with broker.ear() as ear, broker.client(broker.one) as client:
        await client.subscribe(topics.CATALOGUE, qos=1)
        await client.subscribe(f"{topics.PREFIX}/retest/RU/+", qos=1)
        await client.subscribe(f"{topics.PREFIX}/events/#", qos=1)
        for topic in (topics.CATALOGUE, topics.retest("RU", 1), topics.retest("FR", 1), marker):
            await ear.client.publish(topic, b"x", qos=1)
        got = await until(client, marker)
        assert [topic for topic, _ in got] == [topics.CATALOGUE, topics.retest("RU", 1)]


async def test_forged_publish_reaches_nobody(broker: House) -> None:
    """Acknowledgements, retests, catalogue and events are the monitor's; the rest is another's."""
    one, two = broker.one.user, broker.two.user
    forged = (
        topics.ack(two),
        topics.ack(one),
        topics.measurements(two),
        topics.status(two),
        topics.CATALOGUE,
        topics.retest("RU", 64501),
        topics.events("wechat", "RU"),
        "elsewhere",
    )
    async with broker.ear("#") as ear, broker.client(broker.two) as victim:
        await victim.subscribe(topics.ack(two), qos=1)
        async with broker.client(broker.one) as client:
            for topic in forged:
                await _mute(client, topic, b"forged")
            await client.publish(topics.status(one), b"still here", qos=1)
        assert await ear.heard() == [(topics.status(one), b"still here")]
        await ear.client.publish(topics.ack(two), b"real", qos=1)
        assert await until(victim, topics.ack(two)) == []


async def test_a_retest_comes_from_the_monitor_alone(broker: House) -> None:
    """A probe that could ask the others would turn them against a service, or on their owners'
    traffic: neither by a message, nor one to be kept, nor its will."""
    asked, marker = topics.retest("RU", 64501), topics.events("marker", "FR")
    async with broker.client(broker.two) as victim:
        await victim.subscribe(asked, qos=1)
        await victim.subscribe(marker, qos=1)
        for retain in (False, True):
            try:
                async with broker.client(broker.one) as client:
                    await _mute(client, asked, b"forged", retain=retain)
            except aiomqtt.MqttError:
                pass  # disconnected for it
        await _die_with_will(broker, asked)
        async with broker.client() as monitor:
            await monitor.publish(asked, b"real", qos=1)
            await monitor.publish(marker, b"end", qos=1)
        assert await until(victim, marker) == [(asked, b"real")]


async def test_foreign_subscription_hears_nothing(broker: House) -> None:
    two, marker = broker.two.user, topics.events("marker", "FR")
    filters = (
        topics.ack(two),
        topics.measurements(two),
        topics.ALL_MEASUREMENTS,
        topics.ALL_STATUS,
        "reachwatch/#",
        "#",
        "+/+/+/+",
        f"{topics.PREFIX}/+/{two}",
        f"$share/collectors/{topics.ALL_MEASUREMENTS}",
    )
    for topic_filter in filters:
        async with broker.client(broker.one) as spy:
            await spy.subscribe(marker, qos=1)
            await spy.subscribe(topic_filter, qos=1)
            async with broker.client(broker.two) as client, broker.client() as monitor:
                await client.publish(topics.measurements(two), b"secret", qos=1)
                await client.publish(topics.status(two), b"secret", qos=1)
                await monitor.publish(topics.ack(two), b"secret", qos=1)
                await monitor.publish(marker, b"end", qos=1)
                assert await until(spy, marker) == [], topic_filter


async def test_own_will_is_published_and_a_foreign_one_is_not(broker: House) -> None:
    async with broker.ear() as ear:
        for topic in (topics.status(broker.two.user), topics.ack(broker.two.user)):
            await _die_with_will(broker, topic)
        await _die_with_will(broker, topics.status(broker.one.user))
        async with asyncio.timeout(HANG_SECONDS):
            first = await anext(aiter(ear.client.messages))
        assert str(first.topic) == topics.status(broker.one.user)
        assert await ear.heard() == []


async def _die_with_will(broker: House, topic: str) -> None:
    will = aiomqtt.Will(topic, b"lost", qos=1)
    client = broker.client(broker.one, will=will)
    try:
        await client.__aenter__()
    except aiomqtt.MqttError:
        client._client._sock_close()
        await asyncio.sleep(0.01)
        return
    client._client._sock_close()  # no DISCONNECT
    await asyncio.sleep(0.05)


async def test_a_polite_goodbye_publishes_no_will(broker: House) -> None:
    will = aiomqtt.Will(topics.status(broker.one.user), b"lost", qos=1)
    async with broker.ear() as ear:
        async with broker.client(broker.one, will=will) as client:
            await client.publish(topics.status(broker.one.user), b"goodbye", qos=1)
        await asyncio.sleep(0.2)
        assert await ear.heard() == [(topics.status(broker.one.user), b"goodbye")]


async def test_a_probe_cannot_leave_retained_poison(broker: House) -> None:
    """Not even on its own topics, where mosquitto lets it retain: no collector hears it."""
    own = topics.measurements(broker.one.user)
    for topic in (own, topics.CATALOGUE, topics.events("wechat", "RU"), topics.ack("x")):
        try:
            async with broker.client(broker.one) as client:
                await _mute(client, topic, b"poison", retain=True)
        except aiomqtt.MqttError:
            pass  # disconnected for it
    share = "$share/collectors/" if broker.version == "5" else ""
    async with broker.client() as monitor:
        await monitor.subscribe(f"{share}{topics.ALL_MEASUREMENTS}", qos=1)
        for part in ("catalogue", "events/#", "ack/+"):
            await monitor.subscribe(f"{topics.PREFIX}/{part}", qos=1)
        await monitor.publish(topics.events("marker", "ZZ"), b"end", qos=1)
        got = [topic for topic, _ in await until(monitor, topics.events("marker", "ZZ"))]
        # Plain subscriptions on mosquitto still see its own topic: the collector clears it.
        assert got in ([], [own])
        assert got == [] or broker.version == "3.1.1"


async def test_the_monitor_may_retain(broker: House) -> None:
    event, marker = topics.events("wechat", "RU"), topics.events("marker", "ZZ")
    async with broker.client() as monitor:
        await monitor.publish(event, b"open", qos=1, retain=True)
        async with broker.client(broker.one) as client:
            await client.subscribe(f"{topics.PREFIX}/events/#", qos=1)
            first = await anext(aiter(client.messages))
            assert (str(first.topic), first.payload) == (event, b"open")
            await monitor.publish(marker, b"end", qos=1)
            assert await until(client, marker) == []
        await monitor.publish(event, b"", qos=1, retain=True)
        async with broker.client(broker.one) as client:
            await client.subscribe(f"{topics.PREFIX}/events/#", qos=1)
            await asyncio.sleep(0.1)
            await monitor.publish(marker, b"end", qos=1)
            assert await until(client, marker) == []


async def test_nobody_takes_over_anothers_connection(broker: House) -> None:
    one, two = broker.one, broker.two
    async with broker.ear() as ear, broker.client(two) as victim:
        await victim.subscribe(topics.ack(two.user), qos=1)
        async with broker.client(one, identifier=two.user) as thief:
            await thief.publish(topics.status(one.user), b"me", qos=1)
            with pytest.raises(aiomqtt.MqttError):
                async with broker.client(one, identifier=two.user, password="wrong"):
                    pass
            await ear.client.publish(topics.ack(two.user), b"for two", qos=1)
            assert await until(victim, topics.ack(two.user)) == []
        await victim.publish(topics.status(two.user), b"alive", qos=1)
        assert (topics.status(two.user), b"alive") in await ear.heard()


async def test_the_same_probe_twice_leaves_the_newer(broker: House) -> None:
    async with broker.client(broker.one) as older, broker.client(broker.one) as newer:
        await _cut_off(older)
        await newer.publish(topics.status(broker.one.user), b"newer", qos=1)


async def test_oversized_packet_is_refused_and_hurts_nobody(broker: House) -> None:
    async with broker.ear() as ear, broker.client(broker.two) as other:
        async with broker.client(broker.one) as client:
            fits = b"x" * MAX_PACKET_BYTES
            await client.publish(topics.measurements(broker.one.user), fits, qos=1)
            got = await ear.heard()
            assert [len(payload) for _, payload in got] == [MAX_PACKET_BYTES]
        try:
            async with broker.client(broker.one) as client:
                big = b"x" * (MAX_PACKET_BYTES + 5000)
                await _mute(client, topics.measurements(broker.one.user), big)
                await _cut_off(client)
        except aiomqtt.MqttError:
            pass  # what cut it off is raised again on leaving
        await other.publish(topics.status(broker.two.user), b"fine", qos=1)
        assert await ear.heard() == [(topics.status(broker.two.user), b"fine")]


@pytest.mark.parametrize(
    "options",
    [{"password": "wrong"}, {"username": None, "password": None}, {"username": "p-unknown"}],
)
async def test_wrong_credentials(broker: House, options: dict[str, str | None]) -> None:
    with pytest.raises(aiomqtt.MqttError):
        async with broker.client(broker.one, **options):
            pass


async def test_revoked_probe_is_disconnected_and_stays_out(broker: House) -> None:
    async with broker.ear() as ear, broker.client(broker.two) as other:
        async with broker.client(broker.one) as client:
            await client.publish(topics.status(broker.one.user), b"here", qos=1)
            await broker.revoke(broker.one.user)
            await _cut_off(client)
        with pytest.raises(aiomqtt.MqttError):
            async with broker.client(broker.one):
                pass
        await other.publish(topics.status(broker.two.user), b"untouched", qos=1)
        assert await ear.heard() == [
            (topics.status(broker.one.user), b"here"),
            (topics.status(broker.two.user), b"untouched"),
        ]
