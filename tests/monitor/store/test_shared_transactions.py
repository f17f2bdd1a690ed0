"""A request goes on with the transaction of another one, and never sees less than when it came."""

from __future__ import annotations

import asyncio
import time

import pytest
import sqlalchemy as sa

from monitor.store import shared_transactions
from monitor.store.database import Database
from monitor.store.driver_reads import once
from monitor.store.engines import ReadTransaction, writing
from monitor.store.records import StoreUnavailableError
from monitor.store.shared_transactions import SHARED_SECONDS, Queued
from monitor.store.tables import measurement
from tests.monitor.store.samples import admitted
from tests.world.postgres import PostgreSQL
from tests.world.waiting import HANG_SECONDS, eventually

COUNT = sa.select(sa.func.count()).select_from(measurement)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is."""
    monkeypatch.setattr(shared_transactions, "SHARED_SECONDS", HANG_SECONDS)


def queued(*, followed: bool = True) -> Queued:
    """Of a request that arrives now."""
    return Queued(time.monotonic(), followed)


async def has(store: Database, request: Queued | None) -> tuple[int, ReadTransaction]:
    """How many measurements a request sees, and its transaction."""
    async with store.together(request) as connection:
        return int(await connection.scalar(COUNT)), connection


async def test_it_sees_whatever_was_there_when_it_arrived(store: Database) -> None:
    first, second = queued(), queued()
    seen, shared = await has(store, first)
    await store.facts.add([admitted(1)], [])
    assert seen == 0
    assert await has(store, second) == (0, shared)  # it had arrived before that began
    third, fourth = queued(), queued()
    seen, newer = await has(store, third)
    assert (seen, newer is shared) == (1, False)
    assert await has(store, fourth) == (1, newer)
    assert (await has(store, None))[1] is not newer


async def test_two_at_once_have_one_each(store: Database) -> None:
    waiting, both = [queued() for _ in range(4)], asyncio.Barrier(2)

    async def answered(request: Queued) -> ReadTransaction:
        async with store.together(request) as connection:
            await connection.scalar(COUNT)
            await both.wait()
            return connection

    first = await asyncio.gather(*map(answered, waiting[:2]))
    second = await asyncio.gather(*map(answered, waiting[2:]))
    assert len(set(first)) == 2
    assert set(second) == set(first)


async def test_it_ends_where_nobody_waits_or_something_failed(store: Database) -> None:
    waiting = [queued() for _ in range(3)]
    _, alone = await has(store, queued(followed=False))
    with pytest.raises(StoreUnavailableError):
        async with store.together(waiting[0]) as failed:
            raise OSError("the disk is away")
    _, third = await has(store, waiting[1])
    assert len({alone, failed, third}) == 3
    assert (await has(store, waiting[2]))[1] is third


async def test_none_goes_on_with_an_old_one(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = [queued() for _ in range(2)]
    _, first = await has(store, waiting[0])
    monkeypatch.setattr(shared_transactions, "SHARED_SECONDS", 0.0)
    assert (await has(store, waiting[1]))[1] is not first


async def test_whoever_waits_for_one_to_end_does_not_wait_for_long(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retention drops a day, for which it waits; whoever reads that day waits for retention."""
    monkeypatch.setattr(shared_transactions, "SHARED_SECONDS", SHARED_SECONDS)
    began = time.monotonic()
    await has(store, queued())
    shared = store.engines.shared
    ending = asyncio.create_task(store.end_shared())
    if not store.engines.sqlite:
        async with writing(store.engines) as connection:
            await connection.execute(sa.text("LOCK TABLE measurement IN ACCESS EXCLUSIVE MODE"))
    await eventually(lambda: not shared._free)
    assert time.monotonic() - began >= SHARED_SECONDS
    ending.cancel()


async def test_a_statement_without_values_is_executed_once(store: Database) -> None:
    waiting = [queued() for _ in range(2)]
    rows = []
    for each in waiting:
        async with store.together(each) as connection:
            rows.append(await once(connection, COUNT))
    async with store.reading() as connection:
        assert (await once(connection, COUNT)).scalar() == 0
    assert rows[0] is rows[1]
    assert rows[0].scalar() == 0


async def test_one_that_the_server_has_ended_is_given_up(
    store: Database, postgres_server: PostgreSQL
) -> None:
    if store.engines.sqlite:
        return
    waiting = [queued() for _ in range(3)]
    async with store.together(waiting[0]) as connection:
        process = await connection.scalar(sa.text("SELECT pg_backend_pid()"))
    url = store.engines.write.url.render_as_string(hide_password=False)
    postgres_server.column(url, f"SELECT pg_terminate_backend({process}, 5000)")
    with pytest.raises(StoreUnavailableError):
        await has(store, waiting[1])
    assert (await has(store, waiting[2]))[0] == 0
