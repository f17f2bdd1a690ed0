"""Rounds of several services out of a store, each line read once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding
from monitor.detection.policy import Policy
from monitor.detector import round_reader
from monitor.detector.round_reader import RoundReader
from monitor.store.database import Database, open_database
from probes.wire.measurement import Role
from tests.monitor.fleet import INTERVAL, PEOPLE, START, admitted, from_round, rounds
from tests.world.stores import migrated

POLICY = Policy()
TARGETS = ("wechat/messaging", "signal/chat", "zoom/web")
BLOCK = from_round(4)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    for target in TARGETS:
        await database.facts.add(admitted(rounds(range(12), BLOCK, target=target)), ())
    yield database
    await database.close()


def started(policy: Policy = POLICY) -> dict[str, Folding]:
    return {name: Folding(initial(name), policy) for name in ("signal", "wechat", "zoom")}


async def test_together_is_like_each_by_itself(store: Database) -> None:
    every = [START + n * INTERVAL for n in range(12)]
    together = started()
    reader = RoundReader(store.facts, POLICY)
    for part in reader.parts(dict.fromkeys(together, every)):
        await reader.fold(together, part)
    for name, folding in together.items():
        alone = Folding(initial(name), POLICY)
        alone.fold(every, await store.facts.facts(0, 2**60, name))
        assert folding.state == alone.state
        assert folding.events == alone.events
        assert all(fact.arrival and fact.vantage for fact in folding.facts)
        assert [replace(fact, arrival=0, vantage=0) for fact in folding.facts] == alone.facts
        assert folding.events


async def test_each_line_is_read_once_for_all_services(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    real = store.facts.lines

    async def lines(*chosen: Any) -> Any:
        async for some in real(*chosen):
            read.extend(one.line for one in some)
            yield some

    monkeypatch.setattr(store.facts, "lines", lines)
    await RoundReader(store.facts, POLICY).fold(
        started(), {name: [START + INTERVAL] for name in started()}
    )
    there = await store.facts.facts(START + INTERVAL, START + INTERVAL)
    before = [one for one in await store.facts.facts(START, START) if one.role is Role.CONTROL]
    assert len(read) == len(set(read)) == len(there) + len(before)


async def test_a_part_never_reaches_over_a_hole_and_grows_with_small_rounds(
    store: Database,
) -> None:
    reader = RoundReader(store.facts, POLICY)
    every = [START + n * INTERVAL for n in (*range(12), 9000)]
    sizes = []
    for part in reader.parts({"wechat": every}):
        sizes.append(len(part["wechat"]))
        await reader.fold(started(), part) if len(part["wechat"]) < 5 else None
    assert sizes == [1, 2, 4, 5, 1]


async def test_a_large_round_makes_parts_small_again(
    store: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = RoundReader(store.facts, POLICY)
    every = [START + n * INTERVAL for n in range(12)]
    foldings = started()
    parts = iter(reader.parts(dict.fromkeys(foldings, every)))
    for _ in range(3):
        await reader.fold(foldings, next(parts))
    monkeypatch.setattr(round_reader, "MAX_FACTS", len(PEOPLE))
    await reader.fold(foldings, next(parts))
    assert len(list(reader.parts({"wechat": every[:8]}))) == 2


async def test_the_work_can_be_ended_between_its_parts(store: Database) -> None:
    class EndedError(Exception):
        pass

    async def end() -> None:
        raise EndedError

    with pytest.raises(EndedError):
        await RoundReader(store.facts, POLICY).fold(started(), {"wechat": [START]}, end)
