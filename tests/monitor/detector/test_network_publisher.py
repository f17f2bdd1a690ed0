"""Conditions of networks over a real mosquitto: what is retained equals what is known."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from monitor.broker.client import connected, read_retained
from monitor.detection.network_condition import Condition, NetworkCondition, Word
from monitor.detection.policy import Policy
from monitor.detector.network_publisher import NetworkPublisher
from monitor.store.records import StoreUnavailableError
from probes.wire import topics
from tests.world.mosquitto import Mosquitto, running_mosquitto
from tests.world.waiting import eventually

pytestmark = pytest.mark.needs("mosquitto")
Place = tuple[str, int]


def condition(kind: Condition, onset: int | None = None) -> NetworkCondition:
    return NetworkCondition(condition=kind, onset=onset, witnesses={Word.NO_WORD: 2})


class Known:
    """What the monitor knows, and how often it was asked."""

    def __init__(self, conditions: Mapping[Place, NetworkCondition]) -> None:
        self.conditions, self.asked, self.leads = conditions, 0, True
        self.is_away = False

    async def __call__(self) -> Mapping[Place, NetworkCondition]:
        self.asked += 1
        if self.is_away:
            raise StoreUnavailableError("away")
        return self.conditions


async def kept(broker: Mosquitto) -> dict[str, dict[str, Any]]:
    """Every retained condition, as a newcomer gets it."""
    async with connected(broker.url, "reader", "x", purpose="test") as connection:
        messages, _ = await read_retained(connection, topics.ALL_NETWORKS, 10.0)
    return {one.topic: json.loads(one.payload) for one in messages if one.payload}


@contextlib.asynccontextmanager
async def publishing(known: Known, broker: Mosquitto) -> AsyncIterator[None]:
    publisher = NetworkPublisher(known, Policy(pace=100), lambda: known.leads)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(publisher.run(broker.url, "monitor", "x"))
        yield
        task.cancel()


async def until(broker: Mosquitto, wanted: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What is retained, once these conditions are."""

    async def look() -> list[dict[str, dict[str, Any]]]:
        said = await kept(broker)
        same = {topic: body["condition"] for topic, body in said.items()} == wanted
        return [said] if same else []

    (said,) = await eventually(look)
    return said


async def test_a_condition_is_retained_changed_and_cleared(tmp_path: Path) -> None:
    here, there = topics.network("RU", 64501), topics.network("FR", 64503)
    known = Known({("RU", 64501): condition(Condition.OK), ("FR", 64503): condition(Condition.OK)})
    with running_mosquitto(tmp_path / "b") as broker:
        async with publishing(known, broker):
            await until(broker, {here: "ok", there: "ok"})
            known.conditions = {("RU", 64501): condition(Condition.UNHEARD, 1_800_000_000_000)}
            said = await until(broker, {here: "unheard"})
        assert said[here] == {
            "country": "RU",
            "asn": 64501,
            "condition": "unheard",
            "delivered_afterwards": 0,
            "onset": "2027-01-15T08:00:00Z",
            "tier": "unconfirmed",
            "witnesses": {"no_word": 2},
        }
        # What changed meanwhile is sent by whoever comes next, and a network that is gone cleared.
        known.conditions = {("FR", 64503): condition(Condition.OFFLINE)}
        async with publishing(known, broker):
            await until(broker, {there: "offline"})


async def test_what_is_retained_already_is_not_sent_again(tmp_path: Path) -> None:
    known = Known({("RU", 64501): condition(Condition.OK)})
    with running_mosquitto(tmp_path / "b") as broker:
        async with publishing(known, broker):
            await until(broker, {topics.network("RU", 64501): "ok"})
        async with connected(broker.url, "reader", "x", purpose="test") as listener:
            await listener.subscribe(topics.ALL_NETWORKS)
            assert (await anext(listener.messages())).payload  # what is retained
            asked = known.asked
            async with publishing(known, broker):
                await eventually(lambda: known.asked > asked + 1)
                known.conditions = {("RU", 64501): condition(Condition.OFFLINE)}
                body = json.loads((await anext(listener.messages())).payload)
        assert body["condition"] == "offline"


async def test_who_does_not_lead_publishes_nothing_and_a_store_that_is_away_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("monitor.detector.network_publisher.RECONNECT_SECONDS", 0.1)
    known = Known({("RU", 64501): condition(Condition.OK)})
    known.leads, known.is_away = False, True
    with running_mosquitto(tmp_path / "b") as broker:
        async with publishing(known, broker):
            await asyncio.sleep(1.2)
            assert known.asked == 0
            known.leads = True
            await eventually(lambda: known.asked > 1)
            known.is_away = False
            await until(broker, {topics.network("RU", 64501): "ok"})
