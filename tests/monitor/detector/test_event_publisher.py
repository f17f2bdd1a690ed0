"""Events over MQTT through a real mosquitto: what is retained equals what the store says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.broker.client import connected
from monitor.detection.model import EventState
from monitor.detection.policy import Policy
from monitor.detector.event_publisher import (
    COUNTS_SECONDS,
    KEEP_FINAL_SECONDS,
    EventPublisher,
    retained,
)
from monitor.store.database import Database, open_database
from monitor.store.records import Conclusions
from probes.wire import topics
from tests.monitor.store.samples import NOON, event
from tests.world.brokers import MONITOR_SECRET, house
from tests.world.mosquitto import Mosquitto, running_mosquitto
from tests.world.stores import migrated
from tests.world.waiting import eventually

pytestmark = pytest.mark.needs("mosquitto")

OPEN = event("00000000000000aa", updated=NOON)
CLOSED = replace(OPEN, state=EventState.CLOSED, closed=NOON + 9, updated=NOON + 9)
PLACE = ("wechat", "RU")
DAY = KEEP_FINAL_SECONDS * 1000


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with running_mosquitto(tmp_path / "broker") as made:
        yield made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    made = await open_database(await migrated(tmp_path / "store.sqlite"))
    yield made
    await made.close()


async def conclude(store: Database, *events: Any) -> None:
    told = tuple((each.id, "opened") for each in events)
    await store.conclusions.save(
        [Conclusions(service="wechat", round=NOON, state=b"", events=events, journal=told)], 1
    )


async def kept(broker: Mosquitto) -> dict[str, dict[str, Any]]:
    """Every retained event, as a newcomer gets it."""
    found: dict[str, dict[str, Any]] = {}
    async with connected(broker.url, "reader", "x", purpose="test") as connection:
        await connection.subscribe("reachwatch/v1/events/#")
        marker = topics.events("marker", "ZZ")
        await connection.publish(marker, b"end")
        async for message in connection.messages():
            if message.topic == marker:
                break
            if message.payload:
                found[message.topic] = json.loads(message.payload)
            else:
                found.pop(message.topic, None)
    return found


async def until(
    broker: Mosquitto, holds: Callable[[dict[str, dict[str, Any]]], bool]
) -> dict[str, dict[str, Any]]:
    async def look() -> list[dict[str, dict[str, Any]]]:
        said = await kept(broker)
        return [said] if holds(said) else []

    (said,) = await eventually(look)
    return said


@contextlib.asynccontextmanager
async def announcing(
    store: Database,
    broker: Mosquitto,
    clock: Callable[[], int],
    pace: int = 1,
    leads: Callable[[], bool] = lambda: True,
    has: Callable[[str], bool] = lambda _: True,
) -> AsyncIterator[EventPublisher]:
    publisher = EventPublisher(store, Policy(pace=pace), clock, leads, has)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(publisher.run(broker.url, "monitor", "x"))
        try:
            yield publisher
        finally:
            task.cancel()


async def test_an_event_is_retained_changed_ended_and_cleared(
    store: Database, broker: Mosquitto
) -> None:
    now = NOON
    topic = topics.events(*PLACE)
    await conclude(store, OPEN)
    # The pace makes it look twice a second for what has lain its time.
    async with announcing(store, broker, lambda: now, pace=120) as publisher:
        said = await until(broker, lambda found: topic in found)
        assert said[topic]["state"] == "open"
        assert said[topic]["id"] == OPEN.id
        await conclude(store, CLOSED)
        await publisher.on_change([CLOSED])
        said = await until(broker, lambda found: found[topic]["state"] == "closed")
        assert said[topic]["closed"].endswith(":00.009Z")
        now = NOON + 9 + DAY // 120
        await until(broker, lambda found: topic not in found)


async def test_it_comes_back_after_the_broker_and_says_what_it_missed(
    store: Database, broker: Mosquitto, caplog: pytest.LogCaptureFixture
) -> None:
    topic = topics.events(*PLACE)
    await conclude(store, OPEN)
    async with announcing(store, broker, lambda: NOON) as publisher:
        await until(broker, lambda found: topic in found)
        broker.kill()  # it keeps nothing on disk: everything retained is lost
        await conclude(store, CLOSED)
        await publisher.on_change([CLOSED])
        broker.start()
        said = await until(broker, lambda found: topic in found)
        assert said[topic]["state"] == "closed"
    assert all("\n" not in record.getMessage() for record in caplog.records)


async def test_what_an_earlier_run_left_behind_is_cleared(
    store: Database, broker: Mosquitto
) -> None:
    topic = topics.events(*PLACE)
    await conclude(store, CLOSED)
    async with announcing(store, broker, lambda: NOON + 10):
        await until(broker, lambda found: topic in found)
    async with announcing(store, broker, lambda: NOON + 2 * DAY):
        await until(broker, lambda found: topic not in found)


async def test_nothing_is_sent_twice(store: Database, broker: Mosquitto) -> None:
    heard: list[bytes] = []
    await conclude(store, OPEN)

    async def listen(ready: asyncio.Event) -> None:
        async with connected(broker.url, "reader", "x", purpose="listen") as connection:
            await connection.subscribe("reachwatch/v1/events/#")
            ready.set()
            async for message in connection.messages():
                heard.append(message.payload)  # noqa: PERF401 - it never ends

    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        listener = group.create_task(listen(ready))
        await ready.wait()
        async with announcing(store, broker, lambda: NOON) as publisher:
            await eventually(lambda: heard)
            await publisher.on_change([OPEN])
            await publisher.on_change([])
            later = replace(OPEN, id="00000000000000ff", service="signal")
            await conclude(store, later)
            await publisher.on_change([later])
            await eventually(lambda: b"signal" in heard[-1])
        listener.cancel()
    assert len(heard) == 2


@contextlib.asynccontextmanager
async def listening(broker: Mosquitto) -> AsyncIterator[list[dict[str, Any]]]:
    """What a follower hears beside what was retained before it came."""
    heard: list[dict[str, Any]] = []

    async def listen(ready: asyncio.Event) -> None:
        async with connected(broker.url, "reader", "x", purpose="listen") as connection:
            await connection.subscribe("reachwatch/v1/events/#")
            ready.set()
            async for message in connection.messages():
                if message.retained or message.topic == topics.events("marker", "ZZ"):
                    continue
                heard.append(json.loads(message.payload) if message.payload else {})

    ready = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        listener = group.create_task(listen(ready))
        await ready.wait()
        yield heard
        listener.cancel()


async def test_a_restart_sends_nothing_twice(store: Database, broker: Mosquitto) -> None:
    topic = topics.events(*PLACE)
    await conclude(store, OPEN)
    async with announcing(store, broker, lambda: NOON):
        await until(broker, lambda found: topic in found)
    other = replace(OPEN, id="00000000000000ff", service="signal")
    async with listening(broker) as heard:
        # The counts of the event grow while the process is away; nobody is told of that.
        grown = replace(OPEN, rule_counts=(("tls.reset.sni", 99),), updated=NOON + 5)
        await conclude(store, grown)
        async with announcing(store, broker, lambda: NOON) as publisher:
            await conclude(store, other)
            await publisher.on_change([other])
            await eventually(lambda: any(each["service"] == "signal" for each in heard))
        # What changed while it was away is told once.
        await conclude(store, CLOSED)
        async with announcing(store, broker, lambda: NOON + 10):
            await eventually(lambda: any(each["state"] == "closed" for each in heard))
    assert [(each["service"], each["state"]) for each in heard] == [
        ("signal", "open"),
        ("wechat", "closed"),
    ]


async def test_counts_are_no_news(store: Database, broker: Mosquitto) -> None:
    async with listening(broker) as heard, announcing(store, broker, lambda: NOON) as publisher:
        for step in range(3):
            grown = replace(OPEN, rule_counts=(("tls.reset.sni", step),), updated=NOON + step)
            await conclude(store, grown)
            await publisher.on_change([grown])
        await conclude(store, CLOSED)
        await publisher.on_change([CLOSED])
        await eventually(lambda: heard and heard[-1]["state"] == "closed")
    assert [each["state"] for each in heard] in (["open", "closed"], ["closed"])


async def test_counts_are_told_once_in_a_while(store: Database, broker: Mosquitto) -> None:
    now = NOON
    await conclude(store, OPEN)
    async with listening(broker) as heard, announcing(store, broker, lambda: now) as publisher:
        await eventually(lambda: heard)
        for step in (1, 2):
            grown = replace(OPEN, rule_counts=(("tls.reset.sni", step),), updated=NOON + step)
            await conclude(store, grown)
            now = NOON + step * (COUNTS_SECONDS * 1000 - 1)
            await publisher.on_change([grown])
            await asyncio.sleep(0.1)
        await eventually(lambda: len(heard) == 2)
    assert [body["rule_counts"] for body in heard] == [{}, {"tls.reset.sni": 2}]
    # What was concluded until then: the moment that a page of the same number shows.
    assert [body["conclusions"] for body in heard] == [1, 3]


async def test_an_operators_retraction_corrects_what_was_said(
    store: Database, broker: Mosquitto
) -> None:
    topic = topics.events(*PLACE)
    await conclude(store, OPEN)
    later = NOON + 3 * DAY
    async with announcing(store, broker, lambda: NOON) as publisher:
        await until(broker, lambda found: topic in found)
        await store.notes.add(OPEN.id, "retraction", "A fault of ours.", "", "t1")
        await publisher.on_change([])
        said = await until(broker, lambda found: found[topic]["state"] == "retracted")
    assert said[topic]["notes"][0]["text"] == "A fault of ours."
    assert states(replace(OPEN, state=EventState.RETRACTED), now=later) == {}


async def test_only_one_of_several_processes_sends(store: Database, broker: Mosquitto) -> None:
    first, second = True, False
    topic = topics.events(*PLACE)
    async with (
        listening(broker) as heard,
        announcing(store, broker, lambda: NOON, leads=lambda: first) as one,
        announcing(store, broker, lambda: NOON + 10, leads=lambda: second) as other,
    ):
        await conclude(store, OPEN)
        for each in (one, other):
            await each.on_change([OPEN])
        await until(broker, lambda found: topic in found)
        first, second = False, True
        await conclude(store, CLOSED)
        for each in (one, other):
            await each.on_change([CLOSED])
        await until(broker, lambda found: found[topic]["state"] == "closed")
        await eventually(lambda: heard and heard[-1]["state"] == "closed")
    assert [each["state"] for each in heard] == ["open", "closed"]


@pytest.mark.parametrize("kind", ["embedded", "mosquitto-5"])
async def test_both_brokers_tell_what_they_retain_within_their_access_lists(
    store: Database, tmp_path: Path, kind: str
) -> None:
    await conclude(store, OPEN)
    (tmp_path / "house").mkdir()
    publisher = EventPublisher(store, Policy(), lambda: NOON)
    async with house(kind, tmp_path / "house") as home, home.ear(topics.ALL_EVENTS) as ear:
        own = (home.monitor_url, "monitor", MONITOR_SECRET)
        for _ in range(2):  # the second time as after a restart
            held = await publisher._held(*own)
            async with connected(*own) as connection:
                await publisher._publish(connection, held)
        assert held == await publisher._held(*own) == {PLACE: event_body(OPEN)}
        heard = await ear.heard()
    assert [topic for topic, _ in heard] == [topics.events(*PLACE)]


def event_body(one: Any) -> bytes:
    (body,) = retained([one], NOON, DAY, 1).values()
    return body


async def test_parts_share_the_services(store: Database, broker: Mosquitto) -> None:
    signal = replace(OPEN, id="00000000000000ff", service="signal")
    await conclude(store, OPEN)
    await conclude(store, signal)
    mine = topics.events("signal", "RU")
    async with announcing(store, broker, lambda: NOON, has=lambda name: name == "signal"):
        await until(broker, lambda found: mine in found)
    assert set(await kept(broker)) == {mine}


def states(*events: Any, now: int = NOON + 20) -> dict[tuple[str, str], str]:
    made = retained(events, now, DAY, 1)
    return {place: json.loads(body)["state"] for place, body in made.items()}


def test_what_is_retained() -> None:
    assert states() == {}
    assert states(OPEN) == {PLACE: "open"}
    # An open event goes before an ended one, however old it is.
    newer = replace(CLOSED, id="00000000000000bb", updated=NOON + 15)
    assert states(OPEN, newer) == states(newer, OPEN) == {PLACE: "open"}
    wrong = replace(OPEN, id="00000000000000cc", state=EventState.RETRACTED, updated=NOON + 16)
    assert states(newer, wrong) == states(wrong, newer) == {PLACE: "retracted"}
    assert states(CLOSED, now=NOON + 9 + DAY - 1) == {PLACE: "closed"}
    assert states(CLOSED, now=NOON + 9 + DAY) == {}
    assert states(OPEN, now=NOON + 90 * DAY) == {PLACE: "open"}
    abroad = replace(OPEN, country="FR")
    assert set(states(OPEN, abroad)) == {PLACE, ("wechat", "FR")}
