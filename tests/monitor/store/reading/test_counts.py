"""Verdicts and vantages counted over time, on both databases."""

from __future__ import annotations

from collections import Counter

from monitor.detection.model import State
from monitor.store.database import Database
from monitor.store.reading.counts import (
    count_nearby,
    count_states,
    count_vantages,
    judged_rounds,
)
from tests.monitor.store.samples import (
    HOUR,
    MINUTE,
    NOON,
    TARGETS,
    fill_blocked,
    fill_three_probes,
)

BOTH = ["wechat/messaging", "wechat/web"]


async def test_verdicts_are_counted_by_time_slot(store: Database) -> None:
    await fill_blocked(store)
    since, until = NOON - 10 * MINUTE, NOON + HOUR
    async with store.reading() as connection:
        found = await count_states(connection, TARGETS, since, until, 10 * MINUTE)
        assert [(s.begin - since) // MINUTE for s in found] == [10, 10, 20, 20, 40, 40, 50, 50]
        assert [s.asn for s in found[:2]] == [64501, 64502]
        assert [s.state for s in found[:2]] == [State.BLOCKED, State.OK]
        assert sum(s.n for s in found) == 8
        mine = await count_states(connection, TARGETS, since, until, 10 * MINUTE, "RU", (64502,))
        assert {s.state for s in mine} == {State.OK}
        assert sum(s.n for s in mine) == 4
        here, everywhere = await count_nearby(
            connection, TARGETS, since, until, 10 * MINUTE, "RU", [64502]
        )
        assert here == mine
        assert Counter({(s.begin, s.target, s.state): s.n for s in everywhere}) == sum(
            (Counter({(s.begin, s.target, s.state): s.n}) for s in found), Counter()
        )
    # As pages read: several networks are one array of PostgreSQL.
    networks = (64501, 64502)
    async with store.together() as connection:
        both, _ = await count_nearby(connection, TARGETS, since, until, 10 * MINUTE, "RU", networks)
        assert Counter(both) == Counter(found)
        abroad, same = await count_nearby(
            connection, TARGETS, since, until, 10 * MINUTE, "FR", networks
        )
        assert (abroad, same) == ([], everywhere)
    async with store.reading() as connection:
        for nothing in ([], ["signal/messaging"]):
            assert await count_states(connection, nothing, since, until, MINUTE) == []
        assert await count_states(connection, TARGETS, since, until, MINUTE, "FR") == []


async def test_hourly_slots_come_from_the_cells_and_agree(store: Database) -> None:
    await fill_blocked(store)
    async with store.reading() as connection:
        hours = await count_states(connection, TARGETS, NOON - HOUR, NOON + HOUR, HOUR)
    assert [(s.begin, s.asn, s.state, s.n) for s in hours] == [
        (NOON, 64501, State.BLOCKED, 4),
        (NOON, 64502, State.OK, 4),
    ]


async def test_oldest_and_newest_judged_round(store: Database) -> None:
    await fill_blocked(store)
    async with store.reading() as connection:
        assert await judged_rounds(connection, "wechat", 0, NOON + HOUR) == (
            NOON,
            NOON + 45 * MINUTE,
        )
        assert await judged_rounds(connection, "wechat", NOON + 1, NOON + 16 * MINUTE) == (
            NOON + 15 * MINUTE,
            NOON + 15 * MINUTE,
        )
        assert await judged_rounds(connection, "signal", 0, NOON + HOUR) == (None, None)


async def test_vantages_are_counted_by_time_slot(store: Database) -> None:
    await fill_three_probes(store)
    since, until = NOON - 15 * MINUTE, NOON + HOUR
    async with store.reading() as connection:

        async def count(*where: object) -> dict[int, int]:
            return dict(
                await count_vantages(
                    connection,
                    BOTH,
                    since,
                    until,
                    15 * MINUTE,
                    *where,  # type: ignore[arg-type]
                )
            )

        assert await count() == {1: 3, 2: 2, 3: 2, 4: 2}
        assert await count("RU", (64502,)) == {1: 1, 2: 1, 3: 1, 4: 1}
        assert await count("FR") == {}
        assert await count_vantages(connection, [], since, until, MINUTE) == {}


async def test_hourly_vantage_counts_come_from_the_cells(store: Database) -> None:
    await fill_three_probes(store)
    async with store.reading() as connection:
        since = NOON - HOUR
        found = await count_vantages(connection, BOTH, since, NOON + HOUR, HOUR)
        assert found == {1: 3}
        mine = await count_vantages(connection, BOTH, since, NOON + HOUR, HOUR, "RU", (64501,))
        assert mine == {1: 2}
        assert await count_vantages(connection, BOTH, since, NOON, HOUR, "FR") == {}
