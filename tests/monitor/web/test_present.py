"""What is kept in memory of the present: read again when it has changed, and only then."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.detection.model import State
from monitor.store import shared_transactions
from monitor.store.database import Database, open_database
from monitor.store.reading.vantages import VantageRow
from monitor.store.records import Filter, StoreUnavailableError
from monitor.store.shared_transactions import Queued
from monitor.web.present import Present, PresentReader
from tests.monitor.store.samples import (
    MINUTE,
    NOON,
    admitted,
    concluded,
    judged_store,
    verdict,
)
from tests.world.stores import migrated
from tests.world.waiting import HANG_SECONDS, eventually


@pytest.fixture
async def store(tmp_path: Path) -> Any:
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    await judged_store(database)
    yield database
    await database.close()


def reads(store: Database) -> list[str]:
    """The statements that the store is asked from now on."""
    asked: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(statement)

    sa.event.listen(store.engines.read.sync_engine, "before_cursor_execute", note)
    return asked


async def conclude(store: Database, number: int, state: State, at: int = NOON + 3 * MINUTE) -> None:
    row = admitted(number, probe=1, at=at)
    await store.facts.add([row], [])
    await store.conclusions.save([concluded(facts=(verdict(row, state),))], number)


async def test_states_are_filtered(store: Database) -> None:
    present = await PresentReader(store, lambda: NOON, 0).get()
    assert len(present.states()) == 4
    ((first, second), (here,)) = (
        present.states(Filter(service="wechat")),
        present.states(Filter(target="signal/messaging", country="RU", asn=64501)),
    )
    assert [(first.country, first.state), (second.country, second.state)] == [
        ("FR", State.OK),
        ("RU", State.BLOCKED),
    ]
    assert (here.target, here.state, here.vantages) == ("signal/messaging", State.BLOCKED, 1)
    assert present.states(Filter(service="telegram")) == []
    assert present.kinds()["wechat", "RU"] == {State.BLOCKED}


async def test_what_a_transaction_sees_is_the_same_for_all_who_have_it(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_transactions, "SHARED_SECONDS", HANG_SECONDS)
    reader = PresentReader(store, lambda: NOON, 0)
    first, second, third = (Queued(time.monotonic(), followed=True) for _ in range(3))
    async with reader.reading(first) as (shared, before):
        pass
    await conclude(store, 90, State.OK)
    assert await reader.get() != before
    async with reader.reading(second) as (connection, again):
        assert connection is shared
        assert again is before
    async with reader.reading(third._replace(arrived=time.monotonic())) as (connection, after):
        assert connection is not shared
        assert after.conclusions == (before.conclusions or 0) + 1


async def test_only_services_with_new_conclusions_are_read_again(store: Database) -> None:
    reader = PresentReader(store, lambda: NOON, 0)
    before = await reader.get()
    asked = reads(store)
    assert (await reader.get()).revision == before.revision
    assert not [each for each in asked if "FROM verdict" in each]
    await conclude(store, 90, State.OK)
    after = await reader.get()
    assert len([each for each in asked if "FROM verdict" in each]) == 1
    assert after.revision == before.revision + 1
    assert after.services["signal"] is before.services["signal"]
    last, now = NOON + 2 * MINUTE, NOON + 3 * MINUTE
    assert before.newest_rounds == {"signal": last, "wechat": last, None: last}
    assert after.newest_rounds == {"signal": last, "wechat": now, None: now}
    assert after.states(Filter(service="wechat", country="RU"))[0].state is State.OK


async def test_what_is_over_is_not_the_present(store: Database) -> None:
    since = NOON
    reader = PresentReader(store, lambda: since, 0)
    await conclude(store, 91, State.DOWN)
    assert len((await reader.get()).states()) == 4
    since = NOON + 3 * MINUTE
    (left,) = (await reader.get()).states()
    assert left.state is State.DOWN


async def test_a_store_that_is_judged_again_from_the_start_is_empty_meanwhile(
    store: Database,
) -> None:
    reader = PresentReader(store, lambda: NOON, 0)
    assert (await reader.get()).states()
    await store.conclusions.clear()
    assert (await reader.get()).states() == []
    await conclude(store, 92, State.OK)
    assert len((await reader.get()).states()) == 1


async def test_a_vantage_is_offline_when_all_its_verdicts_say_so(store: Database) -> None:
    reader = PresentReader(store, lambda: NOON, 0)
    await conclude(store, 93, State.VANTAGE_OFFLINE)
    assert (await reader.get()).offline == frozenset()  # Signal still answers
    row = admitted(94, probe=1, at=NOON + 3 * MINUTE, target="signal/messaging")
    await store.facts.add([row], [])
    said = verdict(row, State.VANTAGE_OFFLINE)
    await store.conclusions.save([concluded(service="signal", facts=(said,))], 94)
    assert (await reader.get()).offline == {f"p-{1:016x}"}


async def test_within_its_age_nothing_is_asked(store: Database) -> None:
    now = 100.0
    reader = PresentReader(store, lambda: NOON, 30.0, clock=lambda: now)
    before = await reader.get()
    await conclude(store, 95, State.OK)
    asked = reads(store)
    assert await reader.get() is before
    assert asked == []
    now += 3.1
    assert (await reader.get()).revision == before.revision + 1
    assert [each for each in asked if "FROM probe" in each]


async def test_where_nothing_was_concluded_what_was_computed_of_it_stays(store: Database) -> None:
    now = 100.0
    reader = PresentReader(store, lambda: NOON, 30.0, clock=lambda: now)
    before = await reader.get()
    reader.expire()
    assert await reader.get() is before
    await conclude(store, 96, State.OK)
    reader.expire()
    assert (await reader.get()).revision == before.revision + 1
    reader.forget_vantages()
    assert await reader.get() is not before


def test_vantages_are_looked_up_by_place_and_id() -> None:
    never: dict[str, Any] = {"revoked": None, "last_seen": None}
    rows = [
        VantageRow(id=id, owner="", role="", country=country, asn=asn, enrolled=0, **never)
        for id, country, asn in (("a", "RU", 1), ("b", "FR", 2), ("c", "RU", 2))
    ]
    present = Present(revision=1, vantages=rows)
    assert present.vantages_by_country == {"RU": [rows[0], rows[2]], "FR": [rows[1]]}
    assert present.vantages_by_network == {1: [rows[0]], 2: [rows[1], rows[2]]}
    assert present.vantages_by_id == {"a": rows[0], "b": rows[1], "c": rows[2]}


async def test_what_is_kept_is_read_without_being_asked_for(store: Database) -> None:
    reader = PresentReader(store, lambda: NOON, 30.0)
    keeping = asyncio.create_task(reader.keep())
    await eventually(lambda: reader.revision() == 1)
    asked = reads(store)
    await conclude(store, 96, State.OK)
    await eventually(lambda: reader.revision() == 2)
    assert [each for each in asked if "FROM verdict" in each]
    keeping.cancel()


async def test_the_present_is_kept_also_after_the_store_was_away(store: Database) -> None:
    reader = PresentReader(store, lambda: NOON, 30.0)
    reading, tried = store.reading, 0

    @contextlib.asynccontextmanager
    async def away() -> AsyncIterator[Any]:
        nonlocal tried
        tried += 1
        if tried < 2:
            raise StoreUnavailableError("away")
        async with reading() as connection:
            yield connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader._database, "reading", away)
        keeping = asyncio.create_task(reader.keep())
        await eventually(lambda: reader.revision() == 1)
    assert tried >= 2
    keeping.cancel()
