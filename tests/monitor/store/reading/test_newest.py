"""The present state's verdicts, on both databases."""

from __future__ import annotations

import random
from typing import Any

from monitor.detection.model import State
from monitor.store.cells import Where
from monitor.store.database import Database
from monitor.store.reading.newest import newest_verdicts
from monitor.store.records import Admitted
from tests.monitor.store.samples import MINUTE, NOON, admitted, concluded, judged_store, verdict


async def test_newest_verdict_of_each_vantage(store: Database) -> None:
    await judged_store(store)
    places: dict[int, Where] = {}
    async with store.reading() as connection:
        found = await newest_verdicts(connection, "wechat", NOON, places)
        assert [(one.target, one.country, one.asn) for one in found] == [
            ("wechat/messaging", "FR", 64503),
            ("wechat/messaging", "RU", 64501),
        ]
        assert {each.round for each in found} == {NOON + 2 * MINUTE}
        assert len(places) == 2
        assert await newest_verdicts(connection, "wechat", NOON + 3 * MINUTE, places) == []


async def newest(store: Database) -> list[tuple[Any, ...]]:
    async with store.reading() as connection:
        found = await newest_verdicts(connection, "wechat", 0, {})
    return [(one.probe[-1], (one.round - NOON) // MINUTE, one.verdict.state) for one in found]


def fleet(rounds: int = 6) -> list[Admitted]:
    return [
        admitted(10 * n + probe, probe=probe, at=NOON + n * MINUTE)
        for n in range(rounds)
        for probe in (1, 2, 3)
    ]


async def test_any_order_of_rounds_leaves_the_newest(store: Database) -> None:
    rows = fleet()
    await store.facts.add(rows, [])
    for one in random.Random(1).sample(rows, len(rows)):
        await store.conclusions.save([concluded(facts=(verdict(one),))], 1)
    assert await newest(store) == [("1", 5, "ok"), ("2", 5, "ok"), ("3", 5, "ok")]


async def test_a_verdict_that_is_judged_again_is_replaced(store: Database) -> None:
    rows = fleet(1)
    await store.facts.add(rows, [])
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], 1)
    again = tuple(verdict(one, State.BLOCKED) for one in rows[:2])
    await store.conclusions.save([concluded(facts=again)], 2)
    assert await newest(store) == [("1", 0, "blocked"), ("2", 0, "blocked"), ("3", 0, "ok")]


async def test_rounds_that_are_judged_again_without_a_verdict_fall_back(store: Database) -> None:
    rows = fleet()
    await store.facts.add(rows, [])
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], 1)
    # After the third round only probe 1 has a verdict still.
    after = NOON + 2 * MINUTE
    left = tuple(
        verdict(one)
        for one in rows
        if one.stored.measurement.round > after and one.stored.measurement.probe.endswith("1")
    )
    await store.conclusions.save([concluded(facts=left, refolded_after=after)], 2)
    assert await newest(store) == [("1", 5, "ok"), ("2", 2, "ok"), ("3", 2, "ok")]


async def test_whoever_measures_a_part_in_each_round_is_shown_whole(store: Database) -> None:
    """Some measure everything in each round, some one target in turn, one a target alone."""
    targets = [f"wechat/{name}" for name in ("messaging", "web", "calls")]
    turns = random.Random(2)
    rows = [
        admitted(100 * n + 10 * probe + k, probe=probe, target=target, at=NOON + n * MINUTE)
        for n in range(8)
        for probe in (1, 2, 3, 4)
        for k, target in enumerate(targets)
        if probe == 1 or (k == turns.randrange(3) if probe < 4 else n == k == 0)
    ]
    await store.facts.add(rows, [])
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], 1)
    measured = [row.stored.measurement for row in rows]
    wanted = {(each.target, each.probe): each.round for each in measured}  # the last of each
    async with store.reading() as connection:
        found = await newest_verdicts(connection, "wechat", 0, {})
    assert {(one.target, one.probe): one.round for one in found} == wanted
    assert len(found) == len(wanted) > 8
