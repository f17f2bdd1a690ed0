from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from monitor.store.database import Database
from monitor.store.days import DAY_MS, day_of
from monitor.store.engines import ReadTransaction, writing
from monitor.store.reading import days
from monitor.store.reading.days import (
    MissingLinesError,
    dropped_before,
    dropped_since,
    list_days,
    stream_day,
)
from monitor.store.retention import prune
from monitor.store.tables import batch
from tests.monitor.store.samples import HOUR, MINUTE, NOON, admitted, concluded, id_of, verdict

TODAY = day_of(NOON)


async def test_a_day_has_its_measurements_with_lines_and_verdicts(
    store: Database, url: str
) -> None:
    rows = [admitted(n, at=NOON + n % 3 * MINUTE, probe=n % 2) for n in range(9)]
    others = [admitted(20, at=NOON - 13 * HOUR), admitted(21, at=NOON + DAY_MS)]
    await store.facts.add([*rows, *others], [])
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows[:5])))], 1)
    found = [one for some in [part async for part in stream_day(store, TODAY)] for one in some]
    assert [one.round for one in found] == sorted(one.round for one in found)
    assert {one.id: one.line for one in found} == {id_of(row): row.line for row in rows}
    judged = {one.id for one in found if one.verdict is not None}
    assert judged == set(map(id_of, rows[:5]))
    for one in found:
        found_again = await store.facts.measurement(one.id)
        assert found_again is not None
        stored, *_more = found_again
        assert (one.owner, one.role, one.enrolled, one.received) == (
            stored.owner,
            stored.role,
            stored.enrolled,
            stored.received,
        )
    async with store.reading() as connection:
        assert await list_days(connection) == [(TODAY - 1, 1), (TODAY, 9), (TODAY + 1, 1)]
        assert await dropped_before(connection) == 0
    await prune(url, NOON)
    async with store.reading() as connection:
        assert await list_days(connection) == [(TODAY, 9), (TODAY + 1, 1)]
        assert await dropped_before(connection) == TODAY * DAY_MS


@pytest.mark.parametrize(
    ("since", "lacks"),
    [(None, True), (0, True), (TODAY * DAY_MS - 1, True), (TODAY * DAY_MS, False), (NOON, False)],
)
async def test_a_list_lacks_rounds_when_it_reaches_to_what_was_dropped(
    store: Database, url: str, since: int | None, lacks: bool
) -> None:
    async with store.reading() as connection:
        assert await dropped_since(connection, since) == 0
    await prune(url, NOON)
    async with store.reading() as connection:
        assert await dropped_since(connection, since) == (TODAY * DAY_MS if lacks else 0)


async def test_nothing_waits_for_whoever_reads_a_day(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round of a large fleet takes minutes to write; no transaction may last as long."""
    monkeypatch.setattr(days, "READ_AT_ONCE", 2)
    for n in range(5):  # a batch each
        await store.facts.add([admitted(n, at=NOON)], [])
    open_now = 0
    reading = Database.reading

    @contextlib.asynccontextmanager
    async def counted(database: Database) -> AsyncIterator[ReadTransaction]:
        nonlocal open_now
        async with reading(database) as connection:
            open_now += 1
            yield connection
            open_now -= 1

    monkeypatch.setattr(Database, "reading", counted)
    parts = [(len(part), open_now) async for part in stream_day(store, TODAY)]
    assert parts == [(2, 0), (2, 0), (1, 0)]


async def test_a_measurement_without_its_batch_is_an_error(store: Database) -> None:
    await store.facts.add([admitted(1)], [])
    async with writing(store.engines) as connection:
        await connection.execute(sa.delete(batch))
    with pytest.raises(MissingLinesError, match="1 measurements of round"):
        [part async for part in stream_day(store, TODAY)]
