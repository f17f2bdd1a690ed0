"""The detector's shell and retests: what is asked for, when, and what becomes of the answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from monitor.detection.events.state_change import restored
from monitor.detection.model import Stored, Tier
from monitor.detector.retest_publisher import Due
from monitor.store.database import open_database
from tests.monitor.detector.live import World
from tests.monitor.fleet import INTERVAL, PEOPLE, START, from_round, rounds
from tests.world.stores import migrated


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    yield World(database)
    await database.close()


async def test_a_suspicion_is_measured_again_at_once_and_never_for_the_past(world: World) -> None:
    asked: list[Due] = []

    async def ask(places: Due) -> None:
        asked.append(places)

    world.detector = world.another("first", ask)
    usual = 3 * INTERVAL
    own = {("RU", 64501, "wechat/messaging"), ("DE", 64999, "wechat/messaging")}
    for number in range(4):
        await world.arrive(rounds([number], from_round(3), interval=usual))
        await world.settle(START + number * usual + INTERVAL)
    # All three fail in the same round: a quorum by their signatures, which must hold first.
    assert asked == []
    for number in range(4, 8):
        await world.arrive(rounds([number], from_round(3), interval=usual))
        await world.settle(START + number * usual + INTERVAL)
    # The control as well: its measurement must be as new as theirs.
    assert len(asked) in (1, 2)
    assert all(each.keys() == own and not any(q.whom for q in each.values()) for each in asked)
    # A detector that comes back after an hour catches up, and asks nobody about then.
    late = world.another("second", ask)
    await world.database.conclusions.clear()
    asked.clear()
    world.now = START + 3_600_000
    while await late.run_once():
        pass
    assert asked == []


async def test_who_is_slow_keeps_nobody_from_measuring_again(world: World) -> None:
    """Asked as soon as a failure is there; nothing is concluded before the round is over."""
    asked: list[Due] = []

    async def ask(places: Due) -> None:
        asked.append(places)

    world.detector = world.another("first", ask)
    usual, at = 5 * INTERVAL, START + 3 * 5 * INTERVAL
    for number in range(3):
        await world.arrive(rounds([number], interval=usual))
        await world.settle(START + number * usual + 20_000)
    await world.arrive(rounds([3], from_round(3), PEOPLE[3:4], interval=usual))
    await world.settle(at + 20_000)
    assert asked == []
    await world.arrive(rounds([3], from_round(3), PEOPLE[:1], interval=usual))
    await world.settle(at + 25_000)
    await world.settle(at + 40_000)
    assert [place[:2] for place in asked[0]] == [("RU", 64501), ("DE", 64999)]
    (stored,) = [await world.database.conclusions.load("wechat")]
    assert stored is not None
    assert restored(stored[1]).round == START + 2 * usual
    assert await world.events() == []
    await world.settle(at + 60_000)
    assert len(asked) == 1


async def test_nobody_is_asked_where_all_measure_as_often_anyhow(world: World) -> None:
    async def ask(places: Due) -> None:
        raise AssertionError(places)

    world.detector = world.another("first", ask)
    for number in range(7):
        await world.arrive(rounds([number], from_round(3)))
        await world.settle(START + number * INTERVAL + INTERVAL)
    assert [event.tier for event in await world.events()] == [Tier.LIKELY]


async def test_what_was_measured_again_hastens_the_event_and_is_no_new_rhythm(
    world: World,
) -> None:
    """Retests after a round: confirmed before the round after the next, and nobody is called
    silent because the retests ended."""
    usual = 5 * INTERVAL

    def again(round: int) -> list[Stored]:
        asked = (*PEOPLE[:3], PEOPLE[-1])  # the control as well
        made = rounds([round], from_round(0, asn=64501), asked, interval=INTERVAL)
        return [
            replace(
                each,
                measurement=replace(
                    each.measurement,
                    retest=each.measurement.target == "wechat/messaging",
                    round=START + round * INTERVAL,
                ),
            )
            for each in made
        ]

    for number in range(4):
        await world.arrive(rounds([number], from_round(3), interval=usual))
        await world.settle(START + number * usual + usual)
    assert [event.tier for event in await world.events()] == [Tier.LIKELY]
    for number in (17, 20):
        await world.arrive(again(number))
        await world.settle(START + (number + 1) * INTERVAL + 30_000)
    (event,) = await world.events()
    assert event.tier is Tier.CONFIRMED
    assert event.onset == START + 3 * usual
    state = restored((await world.database.conclusions.load("wechat"))[1])  # type: ignore[index]
    members = [m for network in state.networks.values() for m in network.members.values()]
    assert {member.interval for member in members} == {usual}
