"""Rounds that are over, folded over a real store. Late facts in whatever order they arrive give the
same bytes; nothing is announced about the past."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

import pytest

from monitor.commands.replay import fold_store, lines
from monitor.detection.events import gates
from monitor.detection.model import EventState, State, Tier
from monitor.store.reading.measurements import list_judged
from monitor.store.reading.timeline import timeline
from monitor.store.records import News
from monitor.store.retention import prune
from probes.wire.measurement import Role
from tests.monitor.detector.live import (
    BLOCK,
    END,
    POLICY,
    World,
    arrived,
    folded,
    kinds,
    shown,
    world,
)
from tests.monitor.fleet import (
    INTERVAL,
    PEOPLE,
    START,
    Blocked,
    Person,
    events_bytes,
    from_round,
    nobody,
    rounds,
)

__all__ = ["world"]


async def test_services_are_folded_each_by_itself(world: World) -> None:
    await world.arrive(rounds(range(10), BLOCK))
    await world.arrive(rounds(range(10), target="signal/chat"))
    await world.settle()
    (event,) = await world.events()
    assert event.service == "wechat"
    assert await world.database.conclusions.load("signal") is not None


async def test_what_lies_in_a_hole_is_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.arrive(rounds([0, 1, 9000, 9001]))
    await world.arrive(rounds(range(2, 9000, 180), target="signal/chat"))
    asked: list[tuple[int, int]] = []
    real = world.database.facts.lines

    def lines(first: int, last: int, services: Collection[str], role: Role, after: int = 0) -> Any:
        asked.append((first, last))
        return real(first, last, services, role, after)

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


async def test_what_arrives_after_news_were_read_is_not_late(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Days that are followed arrive hour after hour while the detector folds."""
    real, more = world.database.facts.news, [range(10, 20), range(20, 30)]

    async def news(after: int, recent_round: int) -> News:
        known = await real(after, recent_round)
        if more:
            await world.arrive(rounds(more.pop(0)))
        return known

    monkeypatch.setattr(world.database.facts, "news", news)
    await world.arrive(rounds(range(10)))
    with caplog.at_level("INFO"):
        await world.settle(START + 40 * INTERVAL)
    assert await folded(world) == START + 29 * INTERVAL
    assert "late measurements" not in caplog.text


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


STRANGERS = [Person(30 + n, 65000 + n, country) for n, country in enumerate(("JP", "BR", "IN"))]
SILENT = [Person(20 + n, 64501) for n in range(2)]


@pytest.mark.parametrize(
    ("liars", "blocked"),
    [(STRANGERS, lambda n, who: n >= 4), (SILENT, nobody), (SILENT, lambda n, who: n >= 4)],
    ids=["fail abroad", "deny", "agree"],
)
async def test_a_past_that_comes_after_a_confirmation_takes_nothing_away(
    world: World, liars: list[Person], blocked: Blocked
) -> None:
    """As `monitor.detection.lateness`, with the real store: 36 minutes after the onset."""
    await world.arrive(rounds(range(4), people=liars))
    await world.arrive(rounds(range(40), BLOCK))
    await world.settle()
    before = await world.events()
    assert [event.tier for event in before] == [Tier.CONFIRMED]
    told = list(world.told)
    await world.arrive(rounds(range(4, 40), blocked, liars), START + 46 * INTERVAL)
    await world.settle()
    assert (await world.events(), world.told) == (before, told)
    assert lines((await fold_store(world.database, END, POLICY)).events) == lines(before)


async def test_after_hours_without_a_collector_a_block_is_found_from_what_is_timely(
    world: World,
) -> None:
    """A block began while the collector was down: everybody's rounds of two hours come at once."""
    await world.arrive(rounds(range(10)))
    await world.settle()
    back = 10 + 120
    await world.arrive(rounds(range(10, back - 6), from_round(60)), START + back * INTERVAL)
    await world.settle(START + back * INTERVAL)
    assert await world.events() == []
    await world.arrive(rounds(range(back, back + 12), from_round(60)))
    await world.settle()
    (event,) = await world.events()
    assert event.tier is Tier.CONFIRMED
    assert (event.onset_earliest, event.onset_latest) == (
        START + 9 * INTERVAL,
        START + back * INTERVAL,
    )


async def test_a_spool_after_a_day_without_network_completes_counts_and_history(
    world: World,
) -> None:
    spooled, day = Person(7, 64501), 60
    await world.arrive(rounds(range(day)))
    await world.settle()
    await world.arrive(rounds(range(day), BLOCK, [spooled]), START + (day + 10) * INTERVAL)
    await world.settle()
    assert await world.events() == []
    async with world.database.reading() as connection:
        rows = await list_judged(connection, limit=10_000)
        cells = await timeline(connection, limit=10_000)
    late = [row for row in rows if row.probe == spooled.probe]
    assert len(late) == day
    assert {row.verdict.state for row in late} == {State.OK, State.BLOCKED}
    assert {gates.not_counted(row.verdict) for row in late} == {"late"}
    assert {gates.not_counted(row.verdict) for row in rows if row not in late} == {""}
    blocked = [cell for cell in cells if cell.state == State.BLOCKED]
    assert sum(cell.n for cell in blocked) == day - 4


async def test_facts_of_a_dropped_day_change_nothing(world: World) -> None:
    await world.arrive(rounds(range(40), from_round(4, 12)))
    await world.settle()
    before = await events_bytes(world.database)
    await prune(world.database.engines.place, START + 10**8)
    await world.arrive(rounds([2], people=[Person(7, 64501)]))
    await world.settle()
    assert await events_bytes(world.database) == before


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
