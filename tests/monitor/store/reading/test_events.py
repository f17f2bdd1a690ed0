"""Events and the journal, on both databases."""

from __future__ import annotations

import pytest

from monitor.detection.model import EventState, Tier
from monitor.store.database import Database
from monitor.store.reading import events
from monitor.store.reading.events import (
    count_transitions,
    get_event,
    list_ended_events,
    list_events,
    list_events_beside,
    published_transitions,
)
from monitor.store.records import Filter
from tests.monitor.store.samples import (
    NOON,
    concluded,
    event,
)


async def with_events(store: Database, *events: object) -> None:
    await store.conclusions.save([concluded(events=tuple(events))], 1)


async def ids(store: Database, chosen: Filter | None = None, **more: object) -> list[str]:
    async with store.reading() as connection:
        found = await list_events(connection, chosen or Filter(), **more)  # type: ignore[arg-type]
    return [each.id[-2:] for each in found]


async def test_events_come_newest_onset_first_then_by_id(store: Database) -> None:
    await with_events(
        store,
        event("00000000000000aa", onset=NOON),
        event("00000000000000ab", onset=NOON),
        event("00000000000000ac", onset=NOON + 1, country="FR"),
    )
    assert await ids(store) == ["ac", "ab", "aa"]
    assert await ids(store, limit=2) == ["ac", "ab"]
    assert await ids(store, after=(NOON + 1, "00000000000000ac")) == ["ab", "aa"]
    assert await ids(store, after=(NOON, "00000000000000ab")) == ["aa"]
    assert await ids(store, after=(NOON, "00000000000000aa")) == []


async def test_an_event_comes_with_those_beside_it(store: Database) -> None:
    oldest = event("00000000000000aa", onset=NOON)
    await with_events(
        store,
        oldest,
        event("00000000000000ab", onset=NOON + 1),
        event("00000000000000ac", onset=NOON + 2, country="FR"),
        event("00000000000000ad", onset=NOON + 2, service="signal"),
        event("00000000000000ae", onset=NOON + 2),
    )
    async with store.reading() as connection:
        everything = await list_events(connection, Filter(service="wechat", country="RU"))
        assert len(everything) == 3
        for limit in (1, 2, 3, 4):
            found = await list_events_beside(connection, oldest.id, limit)
            assert found == (oldest, everything[:limit])
        assert await list_events_beside(connection, "0" * 16, 4) == (None, [])


async def test_a_rare_filter_looks_through_all_events(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CHUNK", 3)
    many = [event(f"{n:016x}", onset=NOON + n // 4, asns=(n % 5,)) for n in range(23)]
    await with_events(store, *many)
    wanted = [f"{n:016x}"[-2:] for n in reversed(range(23)) if n % 5 == 2]
    assert await ids(store, Filter(asn=2)) == wanted
    assert await ids(store, Filter(asn=2), limit=2) == wanted[:2]
    assert await ids(store, Filter(asn=2), after=(NOON + 3, f"{12:016x}")) == wanted[-2:]
    assert await ids(store, Filter(asn=99)) == []
    assert await ids(store, Filter(source="ooni")) == []
    assert len(await ids(store, Filter(source="probe"), limit=99)) == 23
    assert await ids(store, Filter(target="wechat/nothing")) == []


async def test_filters_and_times_of_events(store: Database) -> None:
    over = event(
        "00000000000000a1",
        onset=NOON,
        state=EventState.CLOSED,
        closed=NOON + 10,
        updated=NOON + 10,
    )
    wrong = event("00000000000000a2", onset=NOON, state=EventState.RETRACTED, updated=NOON + 5)
    still = event("00000000000000a3", onset=NOON + 3, country="FR", updated=NOON + 3)
    await with_events(store, over, wrong, still)
    assert await ids(store, Filter(service="signal")) == []
    assert await ids(store, Filter(country="FR")) == ["a3"]
    assert await ids(store, state="open") == ["a3"]
    assert await ids(store, Filter(since=NOON + 11)) == ["a3"]
    assert await ids(store, Filter(since=NOON + 10)) == ["a3", "a1"]
    assert await ids(store, Filter(since=NOON + 5)) == ["a3", "a2", "a1"]
    assert await ids(store, Filter(until=NOON)) == []
    assert await ids(store, Filter(until=NOON + 3)) == ["a2", "a1"]


async def test_one_event_and_the_journal(store: Database) -> None:
    journal = (("00000000000000aa", "opened"), ("00000000000000aa", "confirmed"))
    await store.conclusions.save([concluded(events=(event(),), journal=journal)], 1)
    async with store.reading() as connection:
        found = await get_event(connection, "00000000000000aa")
        assert found == event()
        assert await get_event(connection, "0" * 16) is None
        assert await count_transitions(connection) == [
            ("wechat", "RU", "confirmed", 1),
            ("wechat", "RU", "opened", 1),
        ]


async def test_ended_events_are_those_published_lately_and_still_over(store: Database) -> None:
    over = {"state": EventState.CLOSED, "closed": NOON, "updated": NOON}
    over_or_open = (
        event("00000000000000aa", **over),
        event("00000000000000bb"),  # closed once, and open again
        event("00000000000000cc", state=EventState.RETRACTED),
        event("00000000000000dd"),
    )
    journal = tuple(
        (id, kind)
        for id, kinds in (
            ("00000000000000aa", ("opened", "confirmed", "closed")),
            ("00000000000000bb", ("opened", "closed")),
            ("00000000000000cc", ("opened", "retracted")),
            ("00000000000000dd", ("opened",)),
        )
        for kind in kinds
    )
    await store.conclusions.save([concluded(events=over_or_open, journal=journal)], 1)
    async with store.reading() as connection:
        found = await list_ended_events(connection, 0, 0)
        assert [(each.id[-2:], how) for each, how in found] == [
            ("cc", "retracted"),
            ("aa", "closed"),
        ]
        assert await list_ended_events(connection, 2**53, 2**53) == []


async def test_the_last_end_that_somebody_may_know_is_listed_for_longer(store: Database) -> None:
    over = {"state": EventState.CLOSED, "closed": NOON, "updated": NOON}
    tiers = (Tier.CONFIRMED, Tier.LIKELY, Tier.UNCONFIRMED)
    for number, tier in enumerate(tiers):
        one = event(f"{number:016x}", tier=tier, **over)
        await store.conclusions.save(
            [concluded(events=(one,), journal=((one.id, "opened"), (one.id, "closed")))], number
        )
    abroad = event("f" * 16, country="IR", **over)
    await store.conclusions.save(
        [concluded(events=(abroad,), journal=((abroad.id, "opened"), (abroad.id, "closed")))], 4
    )
    async with store.reading() as connection:
        found = await list_ended_events(connection, 2**53, 0)
    assert [(each.country, each.id[-1]) for each, _ in found] == [("IR", "f"), ("RU", "1")]


async def test_published_transitions_are_those_in_the_journal(store: Database) -> None:
    one, two = event("a" * 16), event("b" * 16)
    saved = concluded(
        events=(one, two), journal=((one.id, "opened"), (one.id, "likely"), (two.id, "opened"))
    )
    await store.conclusions.save((saved,), 1)
    async with store.reading() as connection:
        assert await published_transitions(connection, [one.id]) == {
            (one.id, "opened"),
            (one.id, "likely"),
        }
        assert await published_transitions(connection, []) == set()
        assert await published_transitions(connection, ["c" * 16]) == set()
        found = await list_events(connection)
    assert sorted(found, key=lambda each: each.id) == [one, two]
