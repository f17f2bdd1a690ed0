from __future__ import annotations

import pytest

from monitor.store.database import Database
from monitor.store.shard import ALL, Shard, folded, leases_by_part, shard
from probes.catalogue.load import load
from tests.monitor.store.samples import NOON, concluded

SERVICES = [service.id for service in load().services]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_each_service_belongs_to_one_part(count: int) -> None:
    parts = [shard(f"{index}/{count}") for index in range(1, count + 1)]
    for service in SERVICES:
        assert sum(part.has(service) for part in parts) == 1
    assert len({part.name for part in parts}) == count
    if count == 2:
        assert all(sum(map(part.has, SERVICES)) >= len(SERVICES) // 4 for part in parts)


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "1/0", "a/b", "1/2/3", "-1/2", "¹/2"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be I/N"):
        shard(text)


@pytest.mark.parametrize(
    ("cursors", "expected"),
    [
        ({}, 0),
        ({"detector": 7}, 7),
        ({"detector": 7, "detector 1/2": 9}, 7),
        ({"detector": 7, "detector 1/2": 9, "detector 2/2": 12}, 9),
        ({"detector": 20, "detector 1/2": 9, "detector 2/2": 12}, 20),
        ({"detector 1/3": 5, "detector 2/3": 6}, 0),
        ({"detector": 7, "pruned": 99}, 7),
    ],
)
def test_what_all_have_folded(cursors: dict[str, int], expected: int) -> None:
    assert folded(cursors) == expected


async def test_parts_lead_side_by_side_and_never_beside_another_count(store: Database) -> None:
    async def lead(holder: str, part: Shard, now: int = NOON, seconds: int = 10) -> bool:
        return await store.lease.lead(holder, seconds, now, part)

    one, two = Shard(1, 2), Shard(2, 2)
    assert await lead("a", one)
    assert await lead("b", two)
    assert not await lead("c", one)
    assert not await lead("c", ALL)
    assert not await lead("c", Shard(1, 3))
    assert await lead("a", one, seconds=0)
    assert not await lead("c", ALL)
    assert await lead("b", two, seconds=0)
    assert await lead("c", ALL)
    assert not await lead("a", one)
    assert await lead("a", one, NOON + 10_001)


async def test_a_part_continues_where_all_were(store: Database) -> None:
    await store.lease.lead("a", 10, NOON)
    await store.conclusions.save([concluded()], 40)
    await store.lease.lead("a", 0, NOON)
    for index, cursor in ((1, 50), (2, 60)):
        await store.lease.lead("b", 10, NOON, Shard(index, 2))
        assert await store.conclusions.cursor() == 40
        await store.conclusions.save([], cursor)
        assert await store.conclusions.cursor() == cursor
        await store.lease.lead("b", 0, NOON, Shard(index, 2))
    await store.lease.lead("c", 10, NOON)
    assert await store.conclusions.cursor() == 50


async def test_a_part_clears_its_own_services(store: Database) -> None:
    await store.conclusions.save([concluded(), concluded(service="signal")], 3)
    await store.conclusions.clear(["signal"])
    assert await store.conclusions.load("signal") is None
    assert await store.conclusions.load("wechat") is not None


@pytest.mark.parametrize(
    ("leases", "expected"),
    [
        ({}, {}),
        ({"detector": 7}, {ALL: 7}),
        ({"detector 1/2": 9, "detector 2/2": 12}, {Shard(1, 2): 9, Shard(2, 2): 12}),
        ({"detector 2/2": 12}, {Shard(1, 2): None, Shard(2, 2): 12}),
        ({"detector": 7, "detector 1/2": 9}, {Shard(1, 2): 9, Shard(2, 2): None}),
        ({"detector": 20, "detector 1/2": 9, "detector 2/2": 12}, {ALL: 20}),
    ],
    ids=["none", "one", "two", "one-of-two", "more-than-before", "fewer-than-before"],
)
def test_leases_are_of_the_parts_of_now(
    leases: dict[str, int], expected: dict[Shard, int | None]
) -> None:
    assert leases_by_part(leases) == expected
