"""What is requested and when; published through a real mosquitto, one message a network."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.broker.client import connected
from monitor.detection.events.retest_limits import Question
from monitor.detection.model import State, Technique, Tier
from monitor.detection.policy import Policy
from monitor.detector.retest_publisher import (
    CHECK_SECONDS,
    FAILED_AT_ONCE,
    LATEST_START,
    MAX_WAITING,
    RetestPublisher,
    RetestTracker,
    requests,
)
from monitor.store.database import Database, open_database
from monitor.store.reading.retests import open_retests
from monitor.store.retests import LATELY_MS
from monitor.web.reception import READ_AGAIN_MS, OpenRetests
from probes.wire import topics
from probes.wire.retest import (
    MOST_TARGETS,
    FailedAddresses,
    decode_retest,
    encode_retest,
    name,
)
from tests.monitor.detection.worlds import (
    INTERVAL,
    TARGET,
    World,
    blocked,
    by_probe,
    fact,
    in_network,
    says,
    standard,
    vantages,
)
from tests.monitor.detection.worlds import POLICY as WORLD_POLICY
from tests.monitor.fleet import PEOPLE, rounds
from tests.world.brokers import enrolled_probe
from tests.world.mosquitto import running_mosquitto
from tests.world.ports import free_port
from tests.world.stores import migrated
from tests.world.waiting import eventually

pytestmark = pytest.mark.needs("mosquitto")

POLICY = Policy()
NOON = 1_800_000_000_000 // 60_000 * 60_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    async with await open_database(await migrated(tmp_path / "store.sqlite")) as database:
        yield database


def test_one_request_a_network_with_its_targets_in_order() -> None:
    places = [("RU", 1, "b/x"), ("FR", 1, "a/x"), ("RU", 1, "a/x"), ("RU", 1, "b/x")]
    found = list(requests(dict.fromkeys(places, Question()), NOON + 5_000, POLICY))
    assert [topic for topic, _ in found] == [topics.retest("FR", 1), topics.retest("RU", 1)]
    assert [retest.targets for _, retest in found] == [("a/x",), ("a/x", "b/x")]
    assert {retest.round for _, retest in found} == {NOON}
    assert list(requests({}, NOON, POLICY)) == []


def test_targets_of_which_the_same_few_are_asked_are_one_request() -> None:
    few, others = ("p-a", "p-b"), ("p-c", "p-d")
    asked = {("RU", 1, "a/x"): few, ("RU", 1, "a/y"): others, ("RU", 1, "b/x"): few}
    due = {place: Question(whom=whom) for place, whom in asked.items()}
    found = [retest for _, retest in requests(due, NOON, POLICY)]
    assert sorted(retest.targets for retest in found) == [("a/x", "b/x"), ("a/y",)]
    for retest in found:
        meant = few if "a/x" in retest.targets else others
        assert [p for p in (*few, *others) if retest.concerns(p)] == list(meant)


def test_many_targets_are_several_requests() -> None:
    places = [("RU", 1, f"s{n}/x") for n in range(MOST_TARGETS + 1)]
    assert [
        len(retest.targets)
        for _, retest in requests(dict.fromkeys(places, Question()), NOON, POLICY)
    ] == [
        MOST_TARGETS,
        1,
    ]


@given(now=st.integers(10**12, 2 * 10**12), pace=st.integers(1, 600))
def test_the_round_has_time_left_whatever_the_hour_and_the_pace(now: int, pace: int) -> None:
    ((_, retest),) = requests({("RU", 1, "a/x"): Question()}, now, Policy(pace=pace))
    assert decode_retest(encode_retest(retest)) == retest
    left = retest.round + retest.interval_ms - now
    assert (1 - LATEST_START) * retest.interval_ms - 1 <= left <= 1.5 * retest.interval_ms


async def test_published_to_the_network_concerned_alone(store: Database, tmp_path: Path) -> None:
    with running_mosquitto(tmp_path / "b") as broker:
        publisher = RetestPublisher(store.retests, POLICY, lambda: NOON)
        async with asyncio.TaskGroup() as group, connected(broker.url, "", "") as here:
            await here.subscribe(topics.retest("RU", 64501))
            await here.subscribe(topics.retest("FR", 64503))
            running = group.create_task(publisher.run(broker.url, "", ""))
            await publisher.on_retest({("RU", 64501, "wechat/web"): Question()})
            message = await anext(here.messages())
            assert message.topic == topics.retest("RU", 64501)
            assert decode_retest(message.payload).targets == ("wechat/web",)
            assert not message.retained
            running.cancel()
        assert publisher.counts() == (1, 1)
        # Nothing is kept for those who come later.
        async with connected(broker.url, "", "") as late:
            await late.subscribe("reachwatch/v1/retest/#")
            marker = topics.retest("ZZ", 1)
            await late.publish(marker, b"end")
            assert (await anext(late.messages())).topic == marker


async def test_who_is_not_connected_is_told_as_long_as_the_request_can_be_met(
    store: Database, tmp_path: Path
) -> None:
    """By a web server that is another process, and while no broker is reached."""
    now = NOON
    publisher = RetestPublisher(store.retests, POLICY, lambda: now)
    async with (
        await open_database(f"sqlite+aiosqlite:///{tmp_path}/store.sqlite") as other,
        asyncio.TaskGroup() as group,
    ):
        web = OpenRetests(other, lambda: now)
        running = group.create_task(publisher.run(f"mqtt://127.0.0.1:{free_port()}", "", ""))
        await publisher.on_retest({("RU", 64501, "wechat/web"): Question()})

        async def is_told() -> bool:
            nonlocal now
            now += READ_AGAIN_MS
            return (await web.of("RU", 64501))[1]

        await eventually(is_told)
        (request,) = map(decode_retest, (await web.of("RU", 64501))[0])
        assert request.targets == ("wechat/web",)
        assert await web.of("RU", 64502) == ([], False)
        now = request.round + request.interval_ms
        assert await web.of("RU", 64501) == ([], True), "more are likely"
        now += LATELY_MS
        assert await web.of("RU", 64501) == ([], False)
        await store.retests.add([], now)
        async with other.reading() as connection:
            assert await open_retests(connection, 0) == []
        running.cancel()


async def test_a_probe_is_asked_by_what_it_alone_knows(store: Database) -> None:
    """From its id, which is public, nobody computes whether it is asked."""
    asked, other = [await enrolled_probe(store) for _ in range(2)]
    publisher = RetestPublisher(store.retests, POLICY, lambda: NOON)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(publisher.run(f"mqtt://127.0.0.1:{free_port()}", "", ""))
        await publisher.on_retest({("RU", 1, "wechat/web"): Question(whom=(asked.probe, "p-x"))})
        bodies: list[bytes] = []

        async def is_stored() -> bool:
            async with store.reading() as connection:
                bodies.extend(each.body for each in await open_retests(connection, 0))
            return bool(bodies)

        await eventually(is_stored)
        running.cancel()
    request = decode_retest(bodies[0])
    assert request.concerns(name(asked.probe, asked.mark))
    assert not request.concerns(asked.probe)
    assert not request.concerns(name(other.probe, other.mark))
    assert request.concerns("p-x"), "enrolled before there were marks"


async def test_a_status_is_taken_while_the_store_is_away(store: Database, tmp_path: Path) -> None:
    web = OpenRetests(store, lambda: NOON)
    await store.close()
    (tmp_path / "store.sqlite").unlink()
    assert await web.of("RU", 64501) == ([], False)


async def test_counts_of_recent_requests(store: Database, tmp_path: Path) -> None:
    now = NOON
    with running_mosquitto(tmp_path / "b") as broker:
        publisher = RetestPublisher(store.retests, POLICY, lambda: now)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(publisher.run(broker.url, "", ""))
            for n in (1, 2):
                await publisher.on_retest(
                    dict.fromkeys(
                        [("RU", 64501, "wechat/web"), ("NL", 1, "wechat/web")], Question()
                    )
                )
                await eventually(lambda expected=2 * n: publisher.requested >= expected)
                now += 1000 * POLICY.retests.retest_window_seconds // 2
            assert publisher.counts() == (4, 2)
            now += 1000 * POLICY.retests.retest_window_seconds // 2
            assert publisher.counts() == (4, 0)
            running.cancel()


async def test_waiting_requests_are_bounded_and_dropped_when_outdated(
    store: Database, tmp_path: Path
) -> None:
    with running_mosquitto(tmp_path / "b") as broker:
        publisher = RetestPublisher(store.retests, POLICY, lambda: NOON)
        await publisher.on_retest({("RU", n, "a/x"): Question() for n in range(2 * MAX_WAITING)})
        gone = broker.url
    async with asyncio.TaskGroup() as group:
        running = group.create_task(publisher.run(gone, "", ""))
        await eventually(lambda: publisher.requested == MAX_WAITING and publisher._unsent.empty())
        running.cancel()


NET = ("RU", 64501, TARGET)
UNSEEN = says(State.INCONCLUSIVE, "unseen_address")


def first_failure() -> tuple[World, RetestTracker, int]:
    """A world after a first failure, an empty tracker, and when the round is folded."""
    world = World(standard()).quiet().run(1, by_probe({"p-ru64501-0": blocked()}))
    return world, RetestTracker(WORLD_POLICY), world.state.round + INTERVAL


def test_a_first_failure_is_requested_once() -> None:
    world, tracker, now = first_failure()
    assert tuple(tracker.due(world.state, now, new_round=True)) == (NET,)
    assert tracker.due(world.state, now + 1000, new_round=True) == {}


def test_an_open_question_is_asked_again_by_its_own_clock() -> None:
    """Although nobody measures meanwhile, as in a small network with a long interval."""
    world, tracker, _ = first_failure()
    now = world.state.round + 30_000
    assert not world.state.open_events
    times = [
        at
        for at in range(now, now + 300_000, 1000)
        if tracker.due(world.state, at, new_round=False)
    ]
    pause, look = (
        WORLD_POLICY.ms(WORLD_POLICY.retests.retest_pause_seconds),
        WORLD_POLICY.ms(CHECK_SECONDS),
    )
    assert [times[0], len(times)] == [now, 2]
    assert pause <= times[1] - times[0] < pause + look


def test_a_control_in_the_network_itself_is_asked_as_well() -> None:
    world = World(vantages(10)).quiet().run(1, by_probe({"p-ru64501-0": blocked()}))
    tracker, now = RetestTracker(WORLD_POLICY), world.state.round + INTERVAL
    (few,) = tracker.due(world.state, now, new_round=True).values()
    assert len(few.whom) == WORLD_POLICY.retests.retest_vantages
    tracker = RetestTracker(WORLD_POLICY)
    (control,) = {p for p in PEOPLE if p.country == "DE"}
    here = replace(control, country="RU", asn=64501)
    tracker.record_controls(rounds([0], people=(here,), target=TARGET, start=world.state.round))
    assert tracker.due(world.state, now, new_round=True) == {NET: Question()}


def test_throughput_is_asked_of_everybody_when_one_saw_throttling() -> None:
    slow = blocked(technique=Technique.THROTTLE_SNI)
    world = World(standard()).quiet().run(1, by_probe({"p-ru64501-0": slow}))
    tracker, now = RetestTracker(WORLD_POLICY), world.state.round + INTERVAL
    tracker.record_controls(rounds([0], target=TARGET, start=world.state.round))
    due = tracker.due(world.state, now, new_round=True)
    assert len(due) == 2
    assert all(retest.throughput for _, retest in requests(due, now, WORLD_POLICY))
    world, tracker, now = first_failure()
    due = tracker.due(world.state, now, new_round=True)
    assert not any(retest.throughput for _, retest in requests(due, now, WORLD_POLICY))


def test_an_old_state_requests_nothing() -> None:
    world, tracker, now = first_failure()
    late = WORLD_POLICY.ms(
        WORLD_POLICY.rounds.control_window_seconds + 2 * WORLD_POLICY.rounds.round_close_seconds
    )
    assert tracker.due(world.state, world.state.round + late + 1, new_round=True) == {}
    assert tuple(tracker.due(world.state, now, new_round=True)) == (NET,)


def test_active_controls_of_the_target_are_included() -> None:
    world, tracker, now = first_failure()
    (control,) = {p for p in PEOPLE if p.country == "DE"}
    stored = rounds([0], target=TARGET, start=world.state.round)
    stored += rounds([0], target="wechat/elsewhere", start=world.state.round)
    tracker.record_controls(stored)
    assert tracker.due(world.state, now, new_round=True) == {
        NET: Question("p-ru64501-0"),
        ("DE", control.asn, TARGET): Question(),
    }
    # A control that has been silent for longer than the window is left out.
    world, tracker, now = first_failure()
    long_ago = world.state.round - WORLD_POLICY.ms(WORLD_POLICY.rounds.control_window_seconds) - 1
    tracker.record_controls(rounds([0], target=TARGET, start=long_ago))
    assert tuple(tracker.due(world.state, now, new_round=True)) == (NET,)


def test_controls_try_what_fails_for_two_owners_although_no_vantage_is_asked() -> None:
    world = World(standard()).quiet()
    tracker, now = RetestTracker(WORLD_POLICY, ask=_nobody), world.state.round + INTERVAL
    (control,) = {p for p in PEOPLE if p.country == "DE"}
    tracker.record_controls(rounds([0], target=TARGET, start=world.state.round))
    dialled = ("wechat.test:443/tls", "192.0.2.1")
    failing = [
        msgspec.structs.replace(fact(who, world.state.round, UNSEEN), untried=(dialled,))
        for who in standard()
        if who.asn == 64501
    ]
    tracker.record_facts(failing[:1])
    assert tracker.due(world.state, now, new_round=True) == {}, "one vantage sends nobody"
    tracker.record_facts(failing)
    due = tracker.due(world.state, now, new_round=True)
    failed = FailedAddresses(target=TARGET, endpoint=dialled[0], addresses=(dialled[1],))
    assert list(due) == [("DE", control.asn, TARGET)], "volunteers are not asked for it"
    ((_, retest),) = requests(due, now, WORLD_POLICY)
    assert (retest.targets, retest.failed) == ((TARGET,), (failed,))
    assert retest.concerns(control.probe)
    assert not retest.concerns("p-0123456789abcdef"), "nor those in the control's network"
    assert tracker.due(world.state, now + 60_000, new_round=True) == {}


async def _nobody(due: object) -> None:
    raise AssertionError(due)


def test_addresses_of_many_endpoints_are_several_requests() -> None:
    endpoints = [f"{n:02}-{'x' * 40}.example:443/https" for n in range(2 * FAILED_AT_ONCE + 1)]
    failed = tuple(
        FailedAddresses(target="a/x", endpoint=id, addresses=("2001:db8:1:2:3:4:5:6789",) * 4)
        for id in endpoints
    )
    due = {("DE", 1, "a/x"): Question(failed=failed), ("DE", 1, "a/y"): Question()}
    found = [retest for _, retest in requests(due, NOON, POLICY)]
    assert [retest.targets for retest in found] == [("a/x", "a/y"), ("a/x",), ("a/x",)]
    assert [each for retest in found for each in retest.failed] == list(failed)
    assert all(decode_retest(encode_retest(retest)) == retest for retest in found)


def test_a_likely_event_is_requested_when_due_without_a_new_round() -> None:
    world = World(standard()).quiet().run(1, in_network(64501, blocked()))
    assert world.only.tier is Tier.LIKELY
    tracker, since = RetestTracker(WORLD_POLICY), world.state.round
    times = [
        at
        for at in range(since, since + 450_000, 1000)
        if tracker.due(world.state, at, new_round=False)
    ]
    hold = since + WORLD_POLICY.ms(WORLD_POLICY.confirmation.confirm_signature_seconds)
    assert len(times) == 1
    assert (
        hold - (1 - LATEST_START) * WORLD_POLICY.ms(WORLD_POLICY.retests.retest_round_seconds)
        <= times[0]
        < hold
    )
    ((_, retest),) = requests({NET: Question()}, times[0], WORLD_POLICY)
    assert retest.round == hold, "in that round the quorum will have held for long enough"


def test_a_known_block_is_looked_at_by_one_vantage_after_another() -> None:
    """Nobody has measured it for five minutes, and limits of their own hold for these requests."""
    people = [*vantages(3), *vantages(3, "DE", 64504)]
    world = World(people, interval=1_800_000).quiet(3).run(4, in_network(64501, blocked()))
    assert world.only.tier is Tier.CONFIRMED
    tracker, now = RetestTracker(WORLD_POLICY), world.state.round + 5 * 60_000 + 36_001
    assert tracker.due(world.state, now - 1, new_round=True) == {}
    (asked,) = tracker.due(world.state, now, new_round=True).values()
    assert asked.whom == (asked.asker,)
    assert tracker.due(world.state, now + 1000, new_round=True) == {}


def test_open_rounds_are_folded_now_and_then() -> None:
    tracker, look = RetestTracker(WORLD_POLICY), WORLD_POLICY.ms(CHECK_SECONDS)
    assert tracker.open_rounds_due("wechat", 10**12) <= 10**12
    assert tracker.open_rounds_due("wechat", 10**12 + 1) == 10**12 + look
    assert tracker.open_rounds_due("signal", 10**12 + 1) <= 10**12 + 1
    assert tracker.open_rounds_due("wechat", 10**12 + look) == 10**12 + look
    assert tracker.open_rounds_due("wechat", 10**12 + look + 1) == 10**12 + 2 * look
