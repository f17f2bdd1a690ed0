"""The contract of facts, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio

import msgspec
import sqlalchemy as sa

from monitor.store.database import Database, open_database
from monitor.store.facts import CONFLICT
from monitor.store.records import Added, Arrived, ProbeKey
from monitor.store.tables import measurement, quarantine
from probes.wire.measurement import LIVENESS_INTERNATIONAL, Role
from tests.monitor.store.samples import MINUTE, NOON, admitted, counters, id_of


async def held(store: Database, probe: str = "p-1") -> list[tuple[str, bytes]]:
    query = (
        sa.select(quarantine.c.reason, quarantine.c.payload)
        .where(quarantine.c.probe == probe)
        .order_by(quarantine.c.number)
    )
    async with store.reading() as connection:
        return [(reason, bytes(payload)) for reason, payload in await connection.execute(query)]


async def count(store: Database) -> int:
    async with store.reading() as connection:
        query = sa.select(sa.func.count()).select_from(measurement)
        return (await connection.execute(query)).scalar_one()


async def test_what_goes_in_comes_out(store: Database) -> None:
    one = admitted(1, role=Role.CONTROL, country="FR", asn=4_294_967_295)
    assert await store.facts.add([one], []) == Added(1, 0, 0)
    assert await store.facts.measurement(id_of(one)) == (one.stored, one.line, 1, None)
    for since in (20, 10):
        probe = one.stored.measurement.probe
        key = ProbeKey(probe=probe, id=f"{since}", public_key="", since=since)
        await store.registry.replace_key(key, [])
    assert await store.facts.measurement(id_of(one)) == (one.stored, one.line, 1, 10)
    assert await store.facts.measurement("00" * 16) is None
    assert await store.facts.measurement("no id") is None


async def test_same_again_is_counted_and_not_kept(store: Database) -> None:
    batch = [admitted(n) for n in range(5)]
    assert await store.facts.add([*batch, batch[0]], []) == Added(5, 1, 0)
    assert await store.facts.add([*batch, admitted(5)], []) == Added(1, 5, 0)
    assert await count(store) == 6
    assert await held(store) == []


async def test_same_id_other_bytes_the_first_stays(store: Database) -> None:
    first, other, third = admitted(1), admitted(1, took=6), admitted(1, took=7)
    assert await store.facts.add([first, other], []) == Added(1, 0, 1)
    assert await store.facts.add([third, first, admitted(2)], []) == Added(1, 1, 1)
    found = await store.facts.measurement(id_of(first))
    assert found is not None
    assert found[1] == first.line
    kept = await held(store, first.stored.measurement.probe)
    assert kept == [(CONFLICT, other.line), (CONFLICT, third.line)]


async def test_a_line_is_kept_byte_for_byte(store: Database) -> None:
    one = admitted(1)
    spaced = msgspec.structs.replace(one, line=one.line.replace(b'":', b'" : '))
    await store.facts.add([spaced], [])
    assert await store.facts.measurement(id_of(one)) == (one.stored, spaced.line, 1, None)


async def test_facts_are_of_a_service_and_liveness_in_order(store: Database) -> None:
    alive = admitted(9, target=LIVENESS_INTERNATIONAL)
    later = admitted(2, at=NOON + MINUTE)
    first, second = sorted([admitted(3), admitted(1003)], key=id_of)
    other = admitted(4, target="signal/chat")
    outside = [admitted(5, at=NOON - 1), admitted(6, at=NOON + MINUTE + 1)]
    await store.facts.add([later, second, other, alive, first, *outside], [])
    of_wechat = await store.facts.facts(NOON, NOON + MINUTE, "wechat")
    assert of_wechat == [one.stored for one in (first, second, alive, later)]
    everything = await store.facts.facts(NOON, NOON + MINUTE)
    assert [one.measurement.target for one in everything].count("signal/chat") == 1
    assert len(everything) == 5
    assert await store.facts.facts(NOON, NOON, "nobody") == [alive.stored]


async def test_rounds_with_their_longest_interval(store: Database) -> None:
    await store.facts.add(
        [
            admitted(1),
            admitted(2, probe=2, interval=5 * MINUTE),
            admitted(3, at=NOON + MINUTE),
            admitted(4, at=NOON + 2 * MINUTE, target="signal/chat"),
        ],
        [],
    )
    noon, next_one = (NOON, 5 * MINUTE, 2), (NOON + MINUTE, MINUTE, 1)
    assert await store.facts.rounds(0, "wechat") == [noon, next_one]
    assert await store.facts.rounds(NOON) == [next_one, (NOON + 2 * MINUTE, MINUTE, 1)]


async def test_no_arrival_is_skipped_while_several_collectors_add(
    store: Database, url: str
) -> None:
    """A reader that remembers the last number sees every row, whatever commits when."""
    collectors = [await open_database(url) for _ in range(3)]
    seen: list[Arrived] = []
    last = 0
    done = asyncio.Event()

    async def collect(which: int) -> None:
        for batch in range(12):
            numbers = range(batch * 20, batch * 20 + 20)
            rows = [admitted(n, probe=which + 1, at=NOON - n * MINUTE) for n in numbers]
            await collectors[which].facts.add(rows, [])

    async def read() -> None:
        nonlocal last
        while True:
            finished = done.is_set()
            news = await store.facts.news(last, recent_round=0)
            seen.extend(news.recent)
            last = news.last
            if finished:
                return

    async with asyncio.TaskGroup() as group:
        reader = group.create_task(read())
        async with asyncio.TaskGroup() as inner:
            for which in range(3):
                inner.create_task(collect(which))
        done.set()
    await reader
    for collector in collectors:
        await collector.close()
    assert len(seen) == len(set(seen)) == 3 * 12 * 20


async def test_two_writers_store_a_thousand_rows_exactly_once(store: Database, url: str) -> None:
    other = await open_database(url)
    rows = [admitted(n, probe=n % 7) for n in range(1000)]

    async def add(database: Database, order: int) -> Added:
        total = Added(0, 0, 0)
        for start in range(0, 1000, 100):
            batch = rows[start : start + 100][::order]
            got = await database.facts.add(batch, [])
            total = Added(
                total.new + got.new,
                total.duplicate + got.duplicate,
                total.conflicting + got.conflicting,
            )
        return total

    async with asyncio.TaskGroup() as group:
        one, two = group.create_task(add(store, 1)), group.create_task(add(other, -1))
    await other.close()
    assert one.result().new + two.result().new == 1000
    assert one.result().duplicate + two.result().duplicate == 1000
    assert await count(store) == 1000
    assert {(name, why): n for name, why, n in await counters(store)} == {
        ("ingested", ""): 1000,
        ("duplicate", ""): 1000,
    }
