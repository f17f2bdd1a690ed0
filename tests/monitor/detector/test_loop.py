"""The detector's loop over a real store: order of arrival, late facts, leases, publication."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import re
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from monitor.commands.replay import fold_store, lines
from monitor.detection.model import Event, EventState, Stored, Tier
from monitor.detection.policy import Policy
from monitor.detector import loop, round_reader
from monitor.detector.loop import LEASE_SECONDS, Detector
from monitor.detector.retest_publisher import OnRetest
from monitor.store.database import Database, open_database
from monitor.store.notes import RETRACTION
from monitor.store.reading.events import count_transitions, list_events, list_transitions
from monitor.store.reading.measurements import list_judged
from monitor.store.records import Conclusions, StoreUnavailableError
from monitor.store.retention import prune
from monitor.store.shard import Shard
from monitor.store.tables import detector_state
from monitor.store.tables import event as stored_event
from probes.wire.measurement import Role, service_of
from tests.monitor.fleet import (
    INTERVAL,
    PEOPLE,
    START,
    Person,
    admitted,
    events_bytes,
    from_round,
    rounds,
)
from tests.monitor.store.arrivals import arrivals
from tests.world.site import client, site_of
from tests.world.stores import migrated
from tests.world.waiting import HANG_SECONDS

POLICY = Policy()
BLOCK = from_round(4)
END = START + 10**9


class World:
    """A store, a clock that is set by hand, and a detector."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = self.newest = START
        self.told: list[Event] = []
        self.lags: list[float] = []
        self.detector = self.another("first")

    def another(self, holder: str, on_retest: OnRetest | None = None) -> Detector:
        """A process of its own: nothing in memory."""
        return Detector(
            self.database,
            POLICY,
            holder,
            lambda: self.now,
            on_change=self._tell,
            observe_lag=self.lags.append,
            on_retest=on_retest,
            poll_seconds=0.01,
            rest_factor=0,
        )

    async def _tell(self, events: list[Event]) -> None:
        self.told += events

    async def arrive(self, stored: Sequence[Stored]) -> None:
        self.newest = max(self.newest, *(each.measurement.round for each in stored))
        await self.database.facts.add(admitted(stored), ())

    async def settle(self, at: int | None = None) -> None:
        """Let the detector do all that it can, by default when the newest round is just over."""
        self.now = self.newest + INTERVAL + 30_000 if at is None else at
        while await self.detector.run_once():
            pass

    async def events(self) -> list[Event]:
        async with self.database.reading() as connection:
            return await list_events(connection)

    async def journal(self) -> list[str]:
        async with self.database.reading() as connection:
            return sorted(word for *_, word, n in await count_transitions(connection) if n)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    yield World(database)
    await database.close()


def kinds(events: Iterable[Event]) -> list[str]:
    return [event.history[-1].kind for event in events]


async def test_a_block_is_found_told_and_closed_as_its_rounds_arrive(world: World) -> None:
    for number in range(20):
        await world.arrive(rounds([number], from_round(4, 12)))
        await world.settle(START + number * INTERVAL + INTERVAL)
    (event,) = await world.events()
    assert (event.state, event.tier) == (EventState.CLOSED, Tier.CONFIRMED)
    assert (event.country, event.asns, event.technique) == ("RU", (64501,), "tls.reset.sni")
    assert kinds(world.told) == ["likely", "confirmed", "clearing", "closed"]
    assert await world.journal() == ["closed", "confirmed", "likely", "opened"]
    assert len(world.lags) == 20
    assert max(world.lags[1:]) == 0
    assert await world.database.conclusions.cursor() == 20 * len(PEOPLE) * 2


async def test_a_round_waits_for_who_is_due_and_not_for_ever(world: World) -> None:
    await world.arrive(rounds([0]))
    await world.settle(START + INTERVAL + 100_000)
    missing = rounds([1], people=PEOPLE[:-1])
    await world.arrive(missing)
    await world.settle(START + 2 * INTERVAL)
    assert await folded(world) == START
    await world.arrive(rounds([1], people=PEOPLE[-1:]))
    await world.settle(START + INTERVAL + 1000)
    assert await folded(world) == START + INTERVAL
    await world.arrive(rounds([2], people=PEOPLE[1:]))
    await world.settle(START + 3 * INTERVAL + 29_999)
    assert await folded(world) == START + INTERVAL
    await world.settle(START + 3 * INTERVAL + 30_000)
    assert await folded(world) == START + 2 * INTERVAL


async def folded(world: World) -> int:
    found = await world.database.conclusions.load("wechat")
    assert found is not None
    return found[0]


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.rest) for n in (1, 2, 3))])
async def test_any_order_of_arrival_gives_the_same_bytes(world: World, seed: int) -> None:
    everything = rounds(range(70), from_round(20, 50))
    chance = random.Random(seed)
    chance.shuffle(everything)
    size = chance.choice([97, 150, 400])
    for start in range(0, len(everything), size):
        await world.arrive(everything[start : start + size])
        if chance.random() < 0.3:
            world.detector = world.another("first")
        await world.settle()
    live = await events_bytes(world.database)
    assert live == lines((await fold_store(world.database, END, POLICY)).events)
    (event,) = await world.events()
    assert (event.state, event.tier) == (EventState.CLOSED, Tier.CONFIRMED)
    assert event.opened == START + 20 * INTERVAL


async def test_late_block_that_is_over_is_kept_and_not_announced(world: World) -> None:
    people = [who for who in PEOPLE if who.asn != 64501]
    await world.arrive(rounds(range(40), people=people))
    await world.settle()
    victims = [who for who in PEOPLE if who.asn == 64501]
    await world.arrive(rounds(range(40), from_round(4, 12), victims))
    await world.settle()
    (event,) = await world.events()
    assert event.state is EventState.CLOSED
    assert world.told == []
    assert await world.journal() == []


async def shown(world: World) -> list[Event]:
    """What pages people: metrics and MQTT ask for the same."""
    async with world.database.reading() as connection:
        return list(await list_events(connection, state="open", published=True))


async def test_a_spool_that_drains_in_parts_never_pages_for_the_past(world: World) -> None:
    victims = [who for who in PEOPLE if who.asn == 64501]
    await world.arrive(rounds(range(60), people=[who for who in PEOPLE if who.asn != 64501]))
    for first in range(0, 60, 10):
        await world.arrive(rounds(range(first, first + 10), from_round(4, 32), victims))
        await world.settle()
        assert (world.told, await shown(world)) == ([], [])
    (event,) = await world.events()
    assert (event.state, event.tier) == (EventState.CLOSED, Tier.CONFIRMED)
    assert await world.journal() == []


async def test_a_spool_that_drains_into_a_block_that_goes_on_pages_once(world: World) -> None:
    victims = [who for who in PEOPLE if who.asn == 64501]
    await world.arrive(rounds(range(60), people=[who for who in PEOPLE if who.asn != 64501]))
    for first in range(0, 60, 10):
        await world.arrive(rounds(range(first, first + 10), BLOCK, victims))
        await world.settle()
        assert len(world.told) == len(await shown(world)) == (first >= 40)
    assert await world.journal() == ["confirmed", "likely", "opened"]
    assert world.told[0].onset == START + 4 * INTERVAL


async def test_vantages_that_fall_silent_do_not_take_back_what_was_told(world: World) -> None:
    await world.arrive(rounds(range(20), BLOCK))
    await world.settle()
    await world.arrive(rounds(range(20, 200), people=[who for who in PEOPLE if who.asn != 64501]))
    await world.settle()
    assert len(await shown(world)) == 1


async def test_catching_up_announces_only_what_is_still_true(world: World) -> None:
    await world.arrive(
        rounds(range(120), lambda n, who: who.asn == 64501 and (4 <= n < 12 or n >= 115))
    )
    await world.settle()
    assert len(await world.events()) == 2
    assert [event.opened for event in world.told] == [START + 115 * INTERVAL]


async def test_late_facts_that_take_an_event_away_retract_it_visibly(world: World) -> None:
    own = [who for who in PEOPLE if who.asn == 64501 or who.number == 9]
    await world.arrive(rounds(range(8), from_round(4), own))
    await world.settle()
    assert kinds(world.told)[-1] == "likely"
    foreign = [*(who for who in PEOPLE if who.asn == 64503), Person(6, 64503, "FR")]
    await world.arrive(rounds(range(8), from_round(4, asn=64503), foreign))
    await world.settle()
    assert await world.events() == []
    assert world.told[-1].state is EventState.RETRACTED
    assert "retracted" in await world.journal()


async def test_a_restart_goes_on_without_a_second_alarm(world: World) -> None:
    for number in range(20):
        await world.arrive(rounds([number], BLOCK))
        world.detector = world.another("first")
        await world.settle(START + number * INTERVAL + INTERVAL + 30_000)
    assert kinds(world.told) == ["likely", "confirmed"]
    assert await world.journal() == ["confirmed", "likely", "opened"]


async def test_one_leads_and_a_standby_takes_over_when_it_falls_silent(world: World) -> None:
    await world.arrive(rounds(range(7), BLOCK))
    await world.settle()
    standby = world.another("second")
    await world.arrive(rounds(range(7, 20), BLOCK))
    assert not await standby.run_once()
    world.now = world.newest + INTERVAL + 30_000
    assert world.now - world.newest > LEASE_SECONDS * 1000
    assert await standby.run_once()
    assert not await world.detector.run_once()
    assert kinds(world.told) == ["likely", "confirmed"]
    assert await events_bytes(world.database) == lines(
        (await fold_store(world.database, END, POLICY)).events
    )


async def test_one_that_is_stopped_lets_the_lease_go(world: World) -> None:
    await world.arrive(rounds(range(10), BLOCK))
    await world.settle()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(world.detector.run(stop))
        await asyncio.sleep(0.05)
        stop.set()
    await world.arrive(rounds(range(10, 20), BLOCK))
    assert await world.another("second").run_once()


async def test_facts_of_a_dropped_day_change_nothing(world: World) -> None:
    await world.arrive(rounds(range(40), from_round(4, 12)))
    await world.settle()
    before = await events_bytes(world.database)
    await prune(world.database.engines.place, START + 10**8)
    await world.arrive(rounds([2], people=[Person(7, 64501)]))
    await world.settle()
    assert await events_bytes(world.database) == before


@pytest.mark.parametrize("used", [1, 0])
async def test_a_service_rests_after_work_but_not_for_being_kept_from_the_processor(
    world: World, monkeypatch: pytest.MonkeyPatch, used: int
) -> None:
    await world.arrive(rounds(range(5)))
    await world.settle()
    clock = itertools.count(step=used)
    monkeypatch.setattr("monitor.detector.rest.time.process_time", lambda: next(clock))
    world.detector.rest_factor = 10**9
    last = START + 5 * INTERVAL
    await world.arrive(rounds([5], people=PEOPLE[:1]))
    await world.settle(last)
    await world.arrive(rounds([5], people=PEOPLE[1:]))
    await world.settle(last + INTERVAL)
    assert await folded(world) == (last - INTERVAL if used else last)
    await world.settle(last + INTERVAL + 30_000)
    assert await folded(world) == last


async def test_state_of_another_version_is_drawn_anew(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await world.arrive(rounds(range(7), BLOCK))
    await world.settle()
    before = await events_bytes(world.database)
    async with world.database.engines.write.begin() as connection:
        await connection.execute(sa.update(detector_state).values(state=b'{"service":"wechat"'))
    world.detector = world.another("first")
    with caplog.at_level(logging.WARNING):
        await world.settle()
    assert "all measurements are processed again from the start" in caplog.text
    assert await events_bytes(world.database) == before
    assert kinds(world.told) == ["likely"]


async def test_services_are_folded_each_by_itself(world: World) -> None:
    await world.arrive(rounds(range(10), BLOCK))
    await world.arrive(rounds(range(10), target="signal/chat"))
    await world.settle()
    (event,) = await world.events()
    assert event.service == "wechat"
    assert await world.database.conclusions.load("signal") is not None


async def test_runs_until_stopped(world: World) -> None:
    stop, seen = asyncio.Event(), asyncio.Event()
    world.now = START + 10 * INTERVAL

    async def on_change(events: list[Event]) -> None:
        seen.set()

    await world.arrive(rounds(range(10), BLOCK))
    async with asyncio.TaskGroup() as group:
        group.create_task(
            Detector(world.database, POLICY, "one", lambda: world.now, on_change=on_change).run(
                stop
            )
        )
        async with asyncio.timeout(HANG_SECONDS):
            await seen.wait()
        stop.set()


async def test_waits_for_an_unavailable_store(
    world: World, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop, turns = asyncio.Event(), 0
    real = world.detector.run_once

    async def run_once() -> bool:
        nonlocal turns
        turns += 1
        if turns < 4:
            raise StoreUnavailableError("store: database is locked")
        stop.set()
        return await real()

    monkeypatch.setattr(world.detector, "run_once", run_once)
    with caplog.at_level(logging.INFO):
        async with asyncio.timeout(HANG_SECONDS):
            await world.detector.run(stop)
    assert caplog.text.count("database is locked") == 1
    assert "the store is available again" in caplog.text


async def test_the_present_goes_before_what_comes_very_late(world: World) -> None:
    names, few = [f"s{n}/chat" for n in range(3)], PEOPLE[:1]
    for name in names:
        await world.arrive(rounds(range(126), people=few, target=name))
    await world.settle(START + 126 * INTERVAL + 30_000)
    late, fresh = [Person(7, 64501)], range(126, 128)
    for name in names:
        await world.arrive(rounds([3], people=late, target=name))
        await world.arrive(rounds(fresh, people=few, target=name))
    world.now = START + 128 * INTERVAL + 30_000
    await world.detector.run_once()
    load = world.database.conclusions.load
    assert [(await load(f"s{n}"))[0] for n in range(3)] == [START + 127 * INTERVAL] * 3  # type: ignore[index]
    judged = []
    for _ in range(4):
        async with world.database.reading() as connection:
            rows = await list_judged(connection, limit=10_000)
        judged.append(sum(row.probe == late[0].probe for row in rows))
        await world.detector.run_once()
    assert judged == [1, 2, 3, 3]
    assert await world.database.conclusions.cursor() == await arrived(world)


async def arrived(world: World) -> int:
    return len(await arrivals(world.database))


async def test_what_lies_in_a_hole_is_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.arrive(rounds([0, 1, 9000, 9001]))
    await world.arrive(rounds(range(2, 9000, 180), target="signal/chat"))
    asked: list[tuple[int, int]] = []
    real = world.database.facts.lines

    def lines(first: int, last: int, services: Collection[str], role: Role) -> Any:
        asked.append((first, last))
        return real(first, last, services, role)

    monkeypatch.setattr(world.database.facts, "lines", lines)
    world.now = START + 9100 * INTERVAL
    await world.detector.run_once()
    assert await folded(world) == START + 9001 * INTERVAL
    # Chunks of signal's rounds may be longer, but never reach over the hole in wechat's alone.
    monkeypatch.undo()
    await world.arrive(rounds([9500, 18_000, 18_001]))
    asked.clear()
    monkeypatch.setattr(world.database.facts, "lines", lines)
    await world.settle(START + 18_100 * INTERVAL)
    assert max(last - first for first, last in asked) <= INTERVAL + POLICY.ms(300)
    assert await folded(world) == START + 18_001 * INTERVAL


async def test_stops_in_the_middle_of_a_long_fold(world: World) -> None:
    """Each part of a long history checks for the stop, so that SIGTERM does not wait for all."""
    await world.arrive(rounds(range(200)))
    world.now = START + 300 * INTERVAL
    stop, reads = asyncio.Event(), 0
    lines = world.database.facts.lines

    def lines_then_stop(*chosen: Any) -> Any:
        nonlocal reads
        reads += 1
        stop.set()
        return lines(*chosen)

    world.database.facts.lines = lines_then_stop  # type: ignore[method-assign]
    async with asyncio.timeout(HANG_SECONDS):
        await world.detector.run(stop)
    assert reads == 1


async def test_a_backlog_is_visible_and_a_restart_goes_on_with_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_reader, "MAX_ROUNDS", 8)
    await world.arrive(rounds(range(40), BLOCK))
    await world.arrive(rounds(range(40), BLOCK, target="signal/chat"))
    world.now = START + 41 * INTERVAL + 30_000
    save, saves = world.database.conclusions.save, 0

    async def dies(conclusions: Sequence[Conclusions], cursor: int) -> None:
        nonlocal saves
        saves += 1
        if saves == 4:
            raise StoreUnavailableError("the plug")
        await save(conclusions, cursor)

    monkeypatch.setattr(world.database.conclusions, "save", dies)
    with pytest.raises(StoreUnavailableError, match="plug"):
        await world.detector.run_once()
    before = await folded(world)
    assert START < before < world.newest
    assert await world.database.conclusions.cursor() == 0
    left = 2 * sum(one.measurements for one in await world.database.facts.rounds(before, "wechat"))
    behind = world.detector.backlog
    assert (behind.measurements, behind.damaged_batches) == (left, 0)
    assert behind.seconds == (world.now - before - 2 * INTERVAL) / 1000
    # Another process goes on there, and folds nothing again.
    monkeypatch.setattr(world.database.conclusions, "save", save)
    read: list[int] = []
    real = world.database.facts.lines

    def lines_from(first: int, last: int, services: Collection[str], role: Role) -> Any:
        if role is Role.VANTAGE:
            read.append(first)
        return real(first, last, services, role)

    monkeypatch.setattr(world.database.facts, "lines", lines_from)
    await world.detector._release_lease()
    world.detector = world.another("second")
    await world.settle(world.now)
    assert min(read) == before + INTERVAL
    assert world.detector.backlog == (0, 0.0, 0)
    assert await world.database.conclusions.cursor() == await arrived(world)
    live = await events_bytes(world.database)
    assert live == lines((await fold_store(world.database, END, POLICY)).events) != b""


async def test_parts_of_the_services_conclude_what_one_detector_concludes(world: World) -> None:
    names = [f"s{n}/chat" for n in range(6)]
    for name in names:
        await world.arrive(rounds(range(12), BLOCK, target=name))
    parts = [replace(world.another(f"part {n}"), shard=Shard(n, 2)) for n in (1, 2)]
    world.now = world.newest + INTERVAL + 30_000
    for part in parts:
        assert await part.run_once()
    assert not await world.another("whole").run_once()
    load = world.database.conclusions.load
    assert all([await load(service_of(name)) for name in names])
    live = await events_bytes(world.database)
    assert live == lines((await fold_store(world.database, END, POLICY)).events) != b""
    # One detector goes on where the parts were, and folds nothing again.
    for part in parts:
        await part._release_lease()
    world.detector = world.another("whole")
    assert not await world.detector.run_once()
    assert await events_bytes(world.database) == live


async def test_a_large_round_is_saved_in_several_transactions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "MAX_FACTS", len(PEOPLE) - 1)
    for n in range(3):
        await world.arrive(rounds(range(2), BLOCK, target=f"s{n}/chat"))
    saved: list[list[str]] = []
    real = world.database.conclusions.save

    async def save(conclusions: Sequence[Conclusions], cursor: int) -> None:
        saved.append([one.service for one in conclusions])
        await real(conclusions, cursor)

    monkeypatch.setattr(world.database.conclusions, "save", save)
    await world.settle()
    assert [some for some in saved if some] == [["s0"], ["s1"], ["s2"]] * 2
    assert await events_bytes(world.database) == lines(
        (await fold_store(world.database, END, POLICY)).events
    )


async def test_a_block_elsewhere_is_published_while_what_was_retracted_goes_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = (*PEOPLE, *(Person(n, 64502) for n in (6, 7, 8)))
    later = from_round(20, asn=64502)

    def blocked(number: int, who: Person) -> bool:
        return BLOCK(number, who) or later(number, who)

    async def until(first: int, end: int) -> None:
        for number in range(first, end):
            await world.arrive(rounds([number], blocked, people))
            await world.settle()

    async def paged() -> list[str]:
        async with client(site_of(world.database, clock=lambda: world.now)) as web:
            text = await (await web.get("/metrics")).text()
        return re.findall(r'block_event_confidence{.*asn="(\d+)".*tier="confirmed"', text)

    await until(0, 10)
    assert await paged() == ["64501"]
    (event,) = await world.events()
    monkeypatch.setattr(world.database.notes, "_now", lambda: world.now)
    await world.database.notes.add(event.id, RETRACTION, "our own filter", "", "t1")
    assert await paged() == []
    await until(10, 20)
    assert await paged() == []
    assert await world.journal() == ["confirmed", "likely", "opened", "retracted"]
    await until(20, 28)
    assert await paged() == ["64502"]
    other, first = await world.events()
    assert (first.id, first.state, first.inhibited_by) == (event.id, "retracted", "operator")
    assert (other.state, other.tier, other.asns) == (EventState.OPEN, Tier.CONFIRMED, (64502,))
    async with world.database.reading() as connection:
        told = await list_transitions(connection)
    assert [change.kind for change in told if change.event.id == other.id][:1] == ["confirmed"]
    assert world.told[-1].id == other.id
    # What arrives late and `replay` say the same.
    await world.arrive(rounds([12], blocked, [Person(10, 64504)]))
    await world.settle()
    async with world.database.reading() as connection:
        bodies = await connection.scalars(sa.select(stored_event.c.body))
        live = [msgspec.json.decode(body, type=Event) for body in bodies]
    assert lines(live) == lines((await fold_store(world.database, END, POLICY)).events)
    assert {event.id for event in live} == {first.id, other.id}
    assert await paged() == ["64502"]
