"""Retests through a real mosquitto: one message a network, with a round that can be kept."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.broker.client import connected
from monitor.detection.policy import Policy
from monitor.detector.retest_publisher import LATE, WAITING, RetestAsker, requests
from probes.wire import topics
from probes.wire.retest import MOST_TARGETS, decode_retest, encode_retest
from tests.world.mosquitto import running_mosquitto

pytestmark = pytest.mark.needs("mosquitto")

POLICY = Policy()
NOON = 1_800_000_000_000 // 60_000 * 60_000


def test_one_request_a_network_with_its_targets_in_order() -> None:
    places = [("RU", 1, "b/x"), ("FR", 1, "a/x"), ("RU", 1, "a/x"), ("RU", 1, "b/x")]
    found = list(requests(places, NOON + 5_000, POLICY))
    assert [topic for topic, _ in found] == [topics.retest("FR", 1), topics.retest("RU", 1)]
    assert [asked.targets for _, asked in found] == [("a/x",), ("a/x", "b/x")]
    assert {asked.round for _, asked in found} == {NOON}
    assert list(requests([], NOON, POLICY)) == []


def test_many_targets_are_several_requests() -> None:
    places = [("RU", 1, f"s{n}/x") for n in range(MOST_TARGETS + 1)]
    assert [len(asked.targets) for _, asked in requests(places, NOON, POLICY)] == [MOST_TARGETS, 1]


@given(now=st.integers(10**12, 2 * 10**12), pace=st.integers(1, 600))
def test_the_round_has_time_left_whatever_the_hour_and_the_pace(now: int, pace: int) -> None:
    ((_, asked),) = requests([("RU", 1, "a/x")], now, Policy(pace=pace))
    assert decode_retest(encode_retest(asked)) == asked
    left = asked.round + asked.interval_ms - now
    assert (1 - LATE) * asked.interval_ms - 1 <= left <= 1.5 * asked.interval_ms


async def test_asked_where_it_is_suspected_and_nowhere_else(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as broker:
        asker = RetestAsker(POLICY, lambda: NOON)
        async with asyncio.TaskGroup() as group, connected(broker.url, "", "") as here:
            await here.subscribe(topics.retest("RU", 64501))
            await here.subscribe(topics.retest("FR", 64503))
            running = group.create_task(asker.run(broker.url, "", ""))
            await asker.wanted([("RU", 64501, "wechat/web")])
            async with asyncio.timeout(20):
                message = await anext(here.messages())
            assert message.topic == topics.retest("RU", 64501)
            assert decode_retest(message.payload).targets == ("wechat/web",)
            assert not message.retained
            running.cancel()
        assert asker.counts() == (1, 1)
        # Nothing is kept for those who come later.
        async with connected(broker.url, "", "") as late:
            await late.subscribe("reachwatch/v1/retest/#")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.3):
                    raise AssertionError(await anext(late.messages()))


async def test_how_many_were_asked_for_lately(tmp_path: Path) -> None:
    now = NOON
    with running_mosquitto(tmp_path / "b") as broker:
        asker = RetestAsker(POLICY, lambda: now)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(asker.run(broker.url, "", ""))
            for n in (1, 2):
                await asker.wanted([("RU", 64501, "wechat/web"), ("NL", 1, "wechat/web")])
                async with asyncio.timeout(20):
                    while asker.asked < 2 * n:  # noqa: ASYNC110 - nobody tells
                        await asyncio.sleep(0.02)
                now += 1000 * POLICY.retest_window_seconds // 2
            assert asker.counts() == (4, 2)
            now += 1000 * POLICY.retest_window_seconds // 2
            assert asker.counts() == (4, 0)
            running.cancel()


async def test_a_storm_does_not_pile_up_and_old_suspicions_are_dropped(tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as broker:
        asker = RetestAsker(POLICY, lambda: NOON)
        await asker.wanted(("RU", n, "a/x") for n in range(2 * WAITING))
        gone = broker.url
    async with asyncio.TaskGroup() as group:
        running = group.create_task(asker.run(gone, "", ""))
        async with asyncio.timeout(20):
            while not asker._waiting.empty():  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.05)
        running.cancel()
    assert asker.asked == 0
