from __future__ import annotations

import random

import sqlalchemy as sa

from monitor.detection.model import State
from monitor.store.database import Database
from monitor.store.days import DAY_MS
from monitor.store.reading.measurements import list_judged
from monitor.store.records import Admitted
from monitor.store.retention import prune
from monitor.store.tables import cell
from tests.monitor.store.samples import HOUR, MINUTE, NOON, admitted, concluded, verdict

Cells = dict[tuple[int, str, int, str], tuple[int, int, int]]


async def cells(store: Database) -> Cells:
    async with store.reading() as connection:
        rows = (await connection.execute(sa.select(cell))).all()
    return {
        (row.hour, row.country, row.asn, row.rule): (row.n, row.vantages, row.all_vantages)
        for row in rows
    }


def fleet() -> list[Admitted]:
    return [
        admitted(n, probe=n % 3, at=NOON + n * 10 * MINUTE, asn=64501 if n % 3 else 64502)
        for n in range(12)
    ]


async def test_cells_count_measurements_and_vantages(store: Database) -> None:
    rows = fleet()
    await store.facts.add(rows, [])
    said = tuple(
        verdict(one, State.BLOCKED, "tls.reset.sni") if n % 3 == 1 else verdict(one)
        for n, one in enumerate(rows)
    )
    await store.conclusions.save([concluded(facts=said)], 1)
    second = NOON + HOUR
    assert await cells(store) == {
        (NOON, "RU", 64501, "tls.ok"): (2, 1, 2),
        (NOON, "RU", 64501, "tls.reset.sni"): (2, 1, 2),
        (NOON, "RU", 64502, "tls.ok"): (2, 1, 1),
        (second, "RU", 64501, "tls.ok"): (2, 1, 2),
        (second, "RU", 64501, "tls.reset.sni"): (2, 1, 2),
        (second, "RU", 64502, "tls.ok"): (2, 1, 1),
    }
    async with store.reading() as connection:
        query = sa.select(cell.c.layer, cell.c.technique, cell.c.state).distinct()
        kinds = {tuple(row) for row in await connection.execute(query)}
    assert kinds == {("tls", "tls.reset.sni", "blocked"), (None, None, "ok")}


async def test_in_any_order_and_twice_gives_the_same_cells(store: Database) -> None:
    rows = fleet()
    await store.facts.add(rows, [])
    await store.conclusions.save([concluded(facts=tuple(map(verdict, rows)))], 1)
    wanted = await cells(store)
    await store.conclusions.clear()
    assert await cells(store) == {}
    dice = random.Random(7)
    dice.shuffle(rows)
    for start in (0, 4, 2, 8, 6):
        part = tuple(verdict(one) for one in rows[start : start + 4])
        await store.conclusions.save([concluded(facts=part)], 1)
    assert await cells(store) == wanted


async def test_a_changed_or_dropped_verdict_leaves_its_old_cell(store: Database) -> None:
    one, two = admitted(1), admitted(2, at=NOON + MINUTE)
    await store.facts.add([one, two], [])
    await store.conclusions.save([concluded(facts=(verdict(one), verdict(two)))], 1)
    changed = concluded(facts=(verdict(one, State.BLOCKED, "r"),), refolded_after=NOON - 1)
    await store.conclusions.save([changed], 1)
    assert await cells(store) == {(NOON, "RU", 64501, "r"): (1, 1, 1)}
    await store.conclusions.save([concluded(refolded_after=NOON - 1)], 1)
    assert await cells(store) == {}


async def test_a_verdict_on_what_was_pruned_meanwhile_is_left_out(
    store: Database, url: str
) -> None:
    old = [admitted(n, at=NOON - DAY_MS) for n in range(600)]
    new = [admitted(n) for n in range(1000, 1020)]
    await store.facts.add([*old, *new], [])
    await prune(url, NOON)
    said = tuple(verdict(each) for each in [*old, *new])
    await store.conclusions.save([concluded(facts=said)], 1)
    async with store.reading() as connection:
        assert len(await list_judged(connection, limit=1000)) == len(new)
    assert await cells(store) == {(NOON, "RU", 64501, "tls.ok"): (20, 1, 1)}
