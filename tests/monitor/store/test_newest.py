"""The newest verdict of each vantage on each target, against what the table of verdicts says."""

from __future__ import annotations

import random

import sqlalchemy as sa

from monitor.detection.model import State
from monitor.store.database import Database
from monitor.store.records import Admitted
from monitor.store.tables import newest_verdict
from monitor.store.tables import verdict as verdicts
from tests.monitor.store.samples import MINUTE, NOON, admitted, concluded, verdict

Newest = dict[tuple[str, str], tuple[int, str, bytes]]


async def newest(store: Database) -> Newest:
    async with store.reading() as connection:
        rows = (await connection.execute(sa.select(newest_verdict))).all()
    return {(row.target, row.probe): (row.round, row.measurement, row.body) for row in rows}


async def expected(store: Database) -> Newest:
    """The same by looking at every verdict."""
    async with store.reading() as connection:
        query = sa.select(verdicts).order_by(verdicts.c.round, verdicts.c.measurement)
        rows = (await connection.execute(query)).all()
    return {(row.target, row.probe): (row.round, row.measurement, row.body) for row in rows}


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
    assert await newest(store) == await expected(store)
    assert {round for round, _, _ in (await newest(store)).values()} == {NOON + 5 * MINUTE}


async def test_a_verdict_that_is_judged_again_is_replaced(store: Database) -> None:
    rows = fleet(1)
    await store.facts.add(rows, [])
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], 1)
    again = tuple(verdict(one, State.BLOCKED, "tls.reset.sni") for one in rows)
    await store.conclusions.save([concluded(facts=again)], 2)
    found = await newest(store)
    assert found == await expected(store)
    assert all(b"tls.reset.sni" in body for _, _, body in found.values())


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
    found = await newest(store)
    assert found == await expected(store)
    assert sorted(round for round, _, _ in found.values()) == [after, after, NOON + 5 * MINUTE]


async def test_another_service_is_left_alone(store: Database) -> None:
    mine = admitted(1, at=NOON + MINUTE)
    other = admitted(2, at=NOON + MINUTE, target="signal/chat")
    await store.facts.add([mine, other], [])
    await store.conclusions.save([concluded(facts=(verdict(mine),))], 1)
    await store.conclusions.save([concluded(service="signal", facts=(verdict(other),))], 1)
    await store.conclusions.save([concluded(service="signal", refolded_after=NOON)], 2)
    assert {target for target, _ in await newest(store)} == {"wechat/messaging"}


async def test_conclusions_that_are_cleared_leave_none(store: Database) -> None:
    rows = fleet(1)
    await store.facts.add(rows, [])
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], 1)
    await store.conclusions.clear()
    assert await newest(store) == {}
