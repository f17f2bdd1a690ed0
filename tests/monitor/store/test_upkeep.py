from __future__ import annotations

import pytest

from monitor.detection.model import EventState
from monitor.store import upkeep
from monitor.store.database import Database
from tests.monitor.store.samples import HOUR, NOON, admitted, concluded, event, id_of, verdict
from tests.monitor.store.test_cells import cells
from tests.monitor.store.test_conclusions import entries, stored_events, verdicts


async def test_prune_lets_old_measurements_go_and_keeps_witnesses(
    store: Database, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "BATCHES", 3)
    old = [admitted(n, at=NOON + n % 4) for n in range(20)]
    old += [admitted(n, at=NOON, target="signal/chat") for n in range(20, 25)]
    young = [admitted(n, at=NOON + HOUR) for n in range(25, 30)]
    await store.facts.add([*old, *young], [])
    said = tuple(map(verdict, [*old[:20], *young]))
    chats = concluded(service="signal", facts=tuple(map(verdict, old[20:])))
    witnesses = (id_of(old[2]), id_of(old[22]))
    seen = event(witnesses=witnesses, updated=NOON)
    await store.conclusions.save(
        [chats, concluded(facts=said, events=(seen,), journal=((seen.id, "opened"),))], 1
    )
    before = await cells(store)
    pruned = await upkeep.prune(url, NOON + HOUR)
    assert pruned == upkeep.Pruned(measurements=23, witnesses_kept=2)
    left = {one.measurement.id for one in await store.facts.facts(0, NOON + HOUR)}
    assert left == {*witnesses, *map(id_of, young)}
    assert set(await verdicts(store)) == left
    assert await stored_events(store) == [seen]
    assert len(await entries(store)) == 1
    assert await cells(store) == before
    # Judging what is left again does not count the hour that was pruned anew.
    await store.conclusions.save([concluded(facts=(verdict(old[2]),))], 1)
    assert await cells(store) == before
    assert await upkeep.prune(url, NOON + HOUR) == upkeep.Pruned(0, 2)


async def test_clear_keeps_what_cannot_be_concluded_again(store: Database, url: str) -> None:
    rows = [admitted(1), admitted(2, at=NOON + HOUR)]
    await store.facts.add(rows, [])
    ended = event("a" * 16, state=EventState.CLOSED, closed=NOON, updated=NOON)
    later = event("b" * 16, updated=NOON + HOUR)
    await store.conclusions.save(
        [concluded(facts=tuple(map(verdict, rows)), events=(ended, later))], 1
    )
    await upkeep.prune(url, NOON + HOUR)
    await store.conclusions.clear()
    assert [each.id for each in await stored_events(store)] == [ended.id]
    assert list(await cells(store)) == [(NOON, "RU", 64501, "tls.ok")]


async def test_size_counts_rows_and_bytes(store: Database, url: str) -> None:
    await store.facts.add([admitted(n) for n in range(300)], [])
    sizes = {each.table: each for each in await upkeep.size(url)}
    assert sizes["measurement"].rows == 300
    assert sizes["event"].rows == 0
    weight = sizes["measurement"].bytes
    # None only where this build of SQLite has no dbstat.
    assert weight is None or 300 * 100 < weight < 300 * 1500


async def test_an_old_number_of_arrival_is_never_given_again(store: Database, url: str) -> None:
    await store.facts.add([admitted(n) for n in range(5)], [])
    last = (await store.facts.arrivals(0))[-1][0]
    await upkeep.prune(url, NOON + 1)
    await store.facts.add([admitted(9)], [])
    assert [number for number, _, _ in await store.facts.arrivals(last)] == [last + 1]
