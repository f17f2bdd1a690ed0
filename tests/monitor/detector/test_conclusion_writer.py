"""What is saved together, and which events are published."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from monitor.commands.replay import fold_store, lines
from monitor.detection.model import Event, EventState, Tier
from monitor.detector import conclusion_writer
from monitor.store.notes import RETRACTION
from monitor.store.reading.events import list_transitions
from monitor.store.records import Conclusions
from monitor.store.tables import event as stored_event
from tests.monitor.detection.events.imported.test_neighbours import (
    FIRST,
    OTHER,
    SECOND,
    SHORT,
    blocked,
    runs,
)
from tests.monitor.detector.live import (
    BLOCK,
    END,
    POLICY,
    World,
    world,
)
from tests.monitor.fleet import (
    INTERVAL,
    PEOPLE,
    START,
    Person,
    events_bytes,
    from_round,
    rounds,
)
from tests.world.site import client, site_of

__all__ = ["world"]


async def test_catching_up_announces_only_what_is_still_true(world: World) -> None:
    await world.arrive(
        rounds(range(120), lambda n, who: who.asn == 64501 and (4 <= n < 12 or n >= 115))
    )
    await world.settle()
    assert len(await world.events()) == 2
    assert [event.opened for event in world.told] == [START + 115 * INTERVAL]


async def test_a_large_round_is_saved_in_several_transactions(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conclusion_writer, "MAX_FACTS", len(PEOPLE) - 1)
    for n in range(3):
        await world.arrive(rounds(range(2), BLOCK, target=f"s{n}/chat"))
    saved: list[list[str]] = []
    real = world.database.conclusions.save

    async def save(conclusions: Sequence[Conclusions], *others: Any) -> None:
        saved.append([one.service for one in conclusions])
        await real(conclusions, *others)

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


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_services_hear_of_each_other_in_whatever_order_they_arrive(
    world: World, seed: int
) -> None:
    """One service is opened beside another: the latter may arrive after the hours in which it is
    heard, and the detector may end before it has folded these again."""
    draw = random.Random(seed)
    stored = runs(blocked(FIRST, SECOND), SHORT)
    late = draw.choice((FIRST, SECOND, OTHER))
    stored.sort(key=lambda one: (one.measurement.target == late, draw.random() < 0.5))
    size = len(stored) // draw.randint(2, 5)
    for start in range(0, len(stored), size):
        await world.arrive(stored[start : start + size])
        world.now = END
        for _ in range(draw.randint(1, 3)):
            await world.detector.run_once()
        world.detector = world.another("first")
    await world.settle(END)
    found = await events_bytes(world.database)
    assert b"other_service_blocked" in found
    assert found == lines((await fold_store(world.database, 2**62, POLICY)).events)
