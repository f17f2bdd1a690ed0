from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa

from monitor.detection.model import EventState
from monitor.store import retention
from monitor.store.database import Database, open_database
from monitor.store.days import DAY_MS, day_of
from monitor.store.records import Added
from monitor.store.retention import Pruned, prune
from monitor.store.tables import batch, stored_day
from tests.monitor.store.arrivals import arrivals
from tests.monitor.store.samples import (
    HOUR,
    NOON,
    admitted,
    concluded,
    counters,
    event,
    id_of,
    verdict,
)
from tests.monitor.store.test_cells import cells
from tests.monitor.store.test_conclusions import entries, stored_events, verdicts

TODAY = day_of(NOON)


async def counted_days(store: Database) -> dict[int, int]:
    async with store.reading() as connection:
        return dict((await connection.execute(sa.select(stored_day))).all())


async def test_days_go_and_witnesses_stay(
    store: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MEASUREMENTS", 3)
    monkeypatch.setattr(retention, "ROWS", 3)
    old = [admitted(n, at=NOON + n % 4) for n in range(20)]
    old += [admitted(n, at=NOON, target="signal/chat") for n in range(20, 25)]
    young = [admitted(n, at=NOON + DAY_MS) for n in range(25, 30)]
    await store.facts.add([*old, *young], [])
    said = tuple(map(verdict, [*old[:20], *young]))
    chats = concluded(service="signal", facts=tuple(map(verdict, old[20:])))
    witnesses = (id_of(old[2]), id_of(old[22]))
    seen = event(witnesses=witnesses, updated=NOON)
    await store.conclusions.save(
        [chats, concluded(facts=said, events=(seen,), journal=((seen.id, "opened"),))], 1
    )
    before = await cells(store)
    assert await counted_days(store) == {TODAY: 25, TODAY + 1: 5}
    # A day that is not over stays whole.
    assert await prune(url, NOON + 11 * HOUR) == Pruned(0, 0)
    assert await prune(url, NOON + DAY_MS) == Pruned(measurements=23, witnesses_kept=2)
    left = {one.measurement.id for one in await store.facts.facts(0, NOON + DAY_MS)}
    assert left == {*witnesses, *map(id_of, young)}
    assert set(await verdicts(store)) == left
    assert await stored_events(store) == [seen]
    assert len(await entries(store)) == 1
    assert await cells(store) == before
    assert await counted_days(store) == {TODAY: 2, TODAY + 1: 5}
    # Judging what is left again does not count the hour that was pruned anew.
    await store.conclusions.save([concluded(facts=(verdict(old[2]),))], 1)
    assert await cells(store) == before
    assert await prune(url, NOON + DAY_MS) == Pruned(0, 2)


async def test_what_was_dropped_is_not_stored_again(store: Database, url: str) -> None:
    old = [admitted(n) for n in range(5)]
    young = [admitted(n, at=NOON + DAY_MS) for n in range(5, 8)]
    assert await store.facts.add([*old, *young], []) == Added(8, 0, 0)
    await prune(url, NOON + DAY_MS)
    # Sent again: all of the dropped day, of the other one, and of both in one batch.
    assert await store.facts.add(old, []) == Added(0, 0, 0, expired=5)
    assert await store.facts.add(young, []) == Added(0, 3, 0)
    assert await store.facts.add([*old, *young, admitted(9, at=NOON + DAY_MS)], []) == Added(
        1, 3, 0, expired=5
    )
    again = await open_database(url)  # another collector
    assert await again.facts.add(old, []) == Added(0, 0, 0, expired=5)
    await again.close()
    assert await counted_days(store) == {TODAY + 1: 4}
    assert {(name, why): n for name, why, n in await counters(store)} == {
        ("ingested", ""): 9,
        ("duplicate", ""): 6,
        ("expired", ""): 15,
    }


async def test_what_is_sent_again_while_its_day_is_dropped_is_not_stored_twice(
    store: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MEASUREMENTS", 20)
    old = [admitted(n) for n in range(100)]
    new = [admitted(1000 + n, at=NOON + DAY_MS) for n in range(100)]
    await store.facts.add(old, [])
    dropped = asyncio.Event()

    async def send_again() -> None:
        rounds = 0
        while not dropped.is_set() or rounds < 3:
            for start in range(0, 100, 40):
                await store.facts.add([*old[start : start + 40], *new[start : start + 40]], [])
            rounds += 1

    async with asyncio.TaskGroup() as group:
        group.create_task(send_again())
        pruned = await prune(url, NOON + DAY_MS)
        dropped.set()
    assert pruned == Pruned(100, 0)
    left = await store.facts.facts(0, 2**60)
    assert {one.measurement.id for one in left} == set(map(id_of, new))
    assert len(left) == 100
    assert await counted_days(store) == {TODAY + 1: 100}
    counted = {name: n for name, _, n in await counters(store)}
    assert counted["ingested"] == 200


async def test_clear_keeps_what_cannot_be_concluded_again(store: Database, url: str) -> None:
    rows = [admitted(1), admitted(2, at=NOON + DAY_MS)]
    await store.facts.add(rows, [])
    ended = event("a" * 16, state=EventState.CLOSED, closed=NOON, updated=NOON)
    later = event("b" * 16, updated=NOON + DAY_MS)
    await store.conclusions.save(
        [concluded(facts=tuple(map(verdict, rows)), events=(ended, later))], 1
    )
    await prune(url, NOON + DAY_MS)
    await store.conclusions.clear()
    assert [each.id for each in await stored_events(store)] == [ended.id]
    assert list(await cells(store)) == [(NOON, "RU", 64501, "tls.ok")]


async def test_an_old_number_of_arrival_is_never_given_again(store: Database, url: str) -> None:
    await store.facts.add([admitted(n) for n in range(5)], [])
    last = (await arrivals(store))[-1]
    await prune(url, NOON + DAY_MS)
    await store.facts.add([admitted(9, at=NOON + DAY_MS)], [])
    assert [number for number in await arrivals(store) if number > last] == [last + 1]


async def test_what_cannot_be_archived_is_not_dropped(store: Database, url: str) -> None:
    rows = [admitted(n, at=NOON + n * DAY_MS) for n in range(3)]
    await store.facts.add(rows, [])
    archived: list[int] = []

    async def archive(day: int) -> None:
        if len(archived) == 1:
            raise OSError("disk full")
        archived.append(day)

    with pytest.raises(OSError, match="disk full"):
        await prune(url, NOON + 3 * DAY_MS, archive)
    assert archived == [TODAY]
    left = {one.measurement.id for one in await store.facts.facts(0, 2**60)}
    assert left == {id_of(rows[1]), id_of(rows[2])}


async def test_the_file_shrinks_on_sqlite(store: Database, url: str) -> None:
    if not store.engines.sqlite:
        return

    async def pages() -> int:
        async with store.reading() as connection:
            return int(await connection.scalar(sa.text("PRAGMA page_count")) or 0)

    rows = [admitted(n, at=NOON + n // 4000 * DAY_MS) for n in range(8000)]
    await store.facts.add(rows[:4000], [])
    await store.facts.add(rows[4000:], [])
    full = await pages()
    await prune(url, NOON + DAY_MS)
    assert await pages() < full * 0.7
    async with store.reading() as connection:
        assert await connection.scalar(sa.text("PRAGMA integrity_check")) == "ok"
        assert (await connection.scalar(sa.select(sa.func.count()).select_from(batch))) == 8
