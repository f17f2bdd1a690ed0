"""Events as they were published at a moment, on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from monitor.detection.events import confidence
from monitor.detection.model import ChangeKind, Event, EventState, Tier
from monitor.store import tables as t
from monitor.store.database import Database, open_database
from monitor.store.notes import NOTE, RETRACTION, notes_of
from monitor.store.reading.events import (
    count_transitions,
    list_transitions,
    published_transitions,
)
from monitor.store.reading.published import published_events
from monitor.store.records import DETAILS, Conclusions, Filter
from tests.monitor.store.samples import NOON, admitted, concluded, event
from tests.world import site as world

MINUTE = 60_000
ID = "00000000000000aa"


class Clocked:
    """A store whose clock is set by hand."""

    def __init__(self, database: Database, clock: list[int]) -> None:
        self.database, self._clock = database, clock

    def at(self, minute: int) -> None:
        self._clock[0] = NOON + minute * MINUTE

    async def publish(self, minute: int, told: Event, *kinds: str, **more: object) -> None:
        self.at(minute)
        journal = tuple((told.id, kind) for kind in kinds)
        one: Conclusions = concluded(events=(told,), journal=journal)
        await self.database.conclusions.save([replace(one, **more)], minute)

    async def read(self, minute: int, chosen: Filter = Filter()) -> list[Event]:  # noqa: B008
        async with self.database.reading() as connection:
            found = await published_events(connection, NOON + minute * MINUTE, chosen)
        assert not found.reconstructed
        return list(found.events)


@pytest.fixture
async def clocked(empty_url: str) -> AsyncIterator[Clocked]:
    clock = [NOON]
    database = await open_database(empty_url, now=lambda: clock[0])
    yield Clocked(database, clock)
    await database.close()


async def test_an_event_is_what_was_published_of_it_then(clocked: Clocked) -> None:
    first = event(ID, tier=Tier.UNCONFIRMED, agreeing=1)
    await clocked.publish(1, first, "opened")
    sure = replace(first, tier=Tier.CONFIRMED, agreeing=3, asns=(1, 2))
    await clocked.publish(5, sure, "likely", "confirmed")
    closed = replace(sure, state=EventState.CLOSED, closed=NOON + 8 * MINUTE)
    await clocked.publish(9, closed, "closed")
    # What was concluded later, and never published, changes nothing of then.
    await clocked.publish(20, replace(closed, agreeing=9))
    assert await clocked.read(0) == []
    assert await clocked.read(1) == await clocked.read(4) == [first]
    assert await clocked.read(5) == await clocked.read(8) == [sure]
    assert await clocked.read(9) == await clocked.read(99) == [closed]


async def test_between_two_transitions_an_event_is_what_pages_showed(clocked: Clocked) -> None:
    first = event(ID, tier=Tier.CONFIRMED, agreeing=3, asns=(1,))
    await clocked.publish(1, first, "opened", "likely", "confirmed")
    more = replace(first, asns=(1, 2))
    await clocked.publish(3, more)
    await clocked.publish(4, replace(more, agreeing=4))  # counts alone are no change
    clearing = replace(more, state=EventState.CLEARING)
    await clocked.publish(6, clearing)
    await clocked.publish(7, more)
    unpublished = event("00000000000000bb")
    await clocked.publish(8, unpublished)
    await clocked.publish(9, replace(unpublished, asns=(7,)))
    shown = [
        next(each for each in await clocked.read(minute) if each.id == ID)
        for minute in (2, 3, 5, 6, 7)
    ]
    assert shown == [first, more, more, clearing, more]
    async with clocked.database.reading() as connection:
        # Nothing was published by it: no feed, webhook or counter tells of it.
        kinds = [row.kind for row in await list_transitions(connection)]
        counted = [(kind, n) for *_, kind, n in await count_transitions(connection)]
        known = await published_transitions(connection, [ID, unpublished.id])
        kept = await connection.execute(sa.select(t.journal.c.transition))
        details = [kind for (kind,) in kept if kind.startswith(f"{DETAILS} ")]
    assert kinds == ["confirmed", "likely", "opened"]
    assert counted == [("confirmed", 1), ("likely", 1), ("opened", 1)]
    assert known == {(ID, kind) for kind in kinds}
    assert len(details) == 3


async def test_another_confidence_is_what_pages_showed(clocked: Clocked) -> None:
    sure = next(one for one in world.events() if one.id == world.CONFIRMED)
    doubted = replace(sure, against=("few_vantages", "untyped"), networks=())
    assert confidence.probability(sure) != confidence.probability(doubted)
    await clocked.publish(1, sure, "opened", "likely", "confirmed")
    await clocked.publish(3, doubted)
    assert await clocked.read(2) == [sure]
    assert await clocked.read(3) == [doubted]


async def test_notes_and_retractions_are_those_of_then(clocked: Clocked) -> None:
    told = event(ID)
    await clocked.publish(1, told, "opened")
    clocked.at(3)
    await clocked.database.notes.add(ID, NOTE, "We ask.", "", token="t")
    clocked.at(5)
    await clocked.database.notes.add(ID, RETRACTION, "A filter.", "", token="t")
    (before,), (noted,), (after,) = [await clocked.read(minute) for minute in (2, 4, 6)]
    assert notes_of(before) == ()
    assert [note.text for note in notes_of(noted)] == ["We ask."]
    assert noted.state is EventState.OPEN
    assert after.state is EventState.RETRACTED


async def test_an_event_that_a_refold_removed_was_published(clocked: Clocked) -> None:
    told = event(ID)
    await clocked.publish(1, told, "opened")
    clocked.at(5)
    gone = concluded(events=(), journal=((ID, ChangeKind.RETRACTED),), refolded_after=NOON - 1)
    await clocked.database.conclusions.save([gone], 5)
    assert [each.state for each in await clocked.read(4)] == [EventState.OPEN]
    assert [each.state for each in await clocked.read(6)] == [EventState.RETRACTED]


async def test_filters_choose_and_the_newest_onset_comes_first(clocked: Clocked) -> None:
    for number, country in enumerate(("RU", "FR", "RU")):
        source = "ooni" if number == 1 else "probe"
        made = event(
            f"{number:016x}", country=country, asns=(number,), onset=NOON + number, source=source
        )
        await clocked.publish(number, made, "opened")

    async def ids(**chosen: object) -> list[str]:
        return [each.id[-1] for each in await clocked.read(9, Filter(**chosen))]  # type: ignore[arg-type]

    assert await ids() == ["2", "1", "0"]
    assert await ids(country="RU") == ["2", "0"]
    assert await ids(asn=1) == ["1"]
    assert await ids(source="ooni") == ["1"]
    assert await ids(source="probe") == ["2", "0"]
    assert await ids(service="signal") == []


async def test_an_event_that_was_never_published_is_there_once_its_data_have_come(
    clocked: Clocked,
) -> None:
    """As it is now: an incident that was imported is cited like any other."""
    witness = admitted(7, at=NOON - 400 * 24 * 60 * MINUTE)
    old = witness.stored.measurement
    witness = replace(witness, received=NOON + 3 * MINUTE)
    await clocked.database.facts.add([witness], [])
    told = event(ID, onset=old.round, witnesses=(old.id,), source="ooni")
    dropped = replace(told, id="00000000000000bb", witnesses=("f" * 32,), opened=NOON + 5 * MINUTE)
    await clocked.publish(4, told)
    await clocked.publish(4, dropped)
    assert await clocked.read(2) == []
    assert await clocked.read(3) == await clocked.read(4) == [told]
    assert {each.id for each in await clocked.read(5)} == {told.id, dropped.id}
    async with clocked.database.reading() as connection:
        found = await published_events(connection, NOON + 9 * MINUTE, Filter(country="RU"))
        assert found.unpublished == {told.id, dropped.id}
        assert not (await published_events(connection, NOON * 2, Filter(country="FR"))).events
    await clocked.publish(8, dropped, "opened")
    assert await clocked.read(7) == [told]
