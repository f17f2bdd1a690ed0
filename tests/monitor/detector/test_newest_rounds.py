"""In a backlog: pages get the newest rounds first, and everything ends as without it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from monitor.commands.replay import fold_store, lines
from monitor.detection.events.state import encode
from monitor.detection.events.state_change import restored
from monitor.detection.model import State
from monitor.detection.policy import Policy
from monitor.detector import newest_rounds, round_reader
from monitor.detector.loop import Detector
from monitor.store.database import Database, open_database
from monitor.store.reading.newest import newest_verdicts
from monitor.store.records import Conclusions, StoreUnavailableError
from monitor.store.tables import cell, detector_state, event, service_day, service_hour, verdict
from tests.monitor.fleet import INTERVAL, START, admitted, events_bytes, from_round, rounds
from tests.world.stores import migrated

POLICY = Policy()
BLOCK = from_round(30)
LAST = 40
NOW = START + (LAST + 1) * INTERVAL + 30_000


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    yield database
    await database.close()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest_rounds, "MEASUREMENTS", 10)
    monkeypatch.setattr(round_reader, "MAX_ROUNDS", 4)


async def fill(database: Database) -> None:
    for target in ("wechat/messaging", "signal/chat"):
        await database.facts.add(admitted(rounds(range(LAST + 1), BLOCK, target=target)), ())


def detecting(database: Database, now: int = NOW, holder: str = "one") -> Detector:
    return Detector(database, POLICY, holder, lambda: now, rest_factor=0)


async def concluded(database: Database) -> dict[str, Sequence[Any]]:
    """All that pages read, and the states."""
    found = {}
    async with database.reading() as connection:
        for table in (verdict, cell, service_hour, service_day, event, detector_state):
            query = sa.select(table).order_by(*table.primary_key.columns)
            found[table.name] = [tuple(row) for row in await connection.execute(query)]
    states = [await database.conclusions.load(row[0]) for row in found["detector_state"]]
    found["states"] = [encode(restored(state[1])) for state in states if state is not None]
    return found


async def shown(database: Database, service: str) -> set[tuple[int, State]]:
    """Round and state of the newest verdicts in the blocked network."""
    async with database.reading() as connection:
        newest = await newest_verdicts(connection, service, START, {})
    return {(one.round, one.verdict.state) for one in newest if one.asn == 64501}


async def test_pages_get_the_newest_round_before_the_fold_is_there(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(database)
    save, seen = database.conclusions.save, 0

    async def first_saves(
        conclusions: Sequence[Conclusions], cursor: int, *late: Mapping[str, int]
    ) -> None:
        nonlocal seen
        await save(conclusions, cursor, *late)
        if conclusions and conclusions[0].round < NOW - 20 * INTERVAL:
            seen += 1
            for service in ("wechat", "signal"):
                newest = {(START + LAST * INTERVAL, State.BLOCKED)}
                assert await shown(database, service) == newest
            assert await events_bytes(database) == b""  # the fold has not reached the block

    monkeypatch.setattr(database.conclusions, "save", first_saves)
    detector = detecting(database)
    while await detector.run_once():
        pass
    assert seen
    assert (
        await events_bytes(database)
        == lines((await fold_store(database, NOW, POLICY)).events)
        != b""
    )


@pytest.mark.parametrize("killed", [pytest.param(False, marks=pytest.mark.rest), True])
async def test_everything_ends_as_without_it(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """Also when the detector dies behind the first part, and when measurements come late."""
    late = rounds([LAST - 3, LAST, LAST + 1], BLOCK)
    plain = await open_database(await migrated(tmp_path / "plain.sqlite"))
    try:
        for each in (database, plain):
            await fill(each)
            with monkeypatch.context() as patch:
                if each is plain:
                    patch.setattr(newest_rounds, "MEASUREMENTS", 10**9)
                detector = detecting(each)
                if killed and each is database:
                    await dies(detector, patch)
                    assert (await concluded(each))["verdict"]
                    detector = detecting(each, NOW + 60_000, "another")
                while await detector.run_once():
                    pass
                # A round that was not there, and two again: the same ids.
                await each.facts.add(admitted(late), ())
                detector = detecting(each, NOW + 2 * INTERVAL, "another")
                await each.lease.lead("another", 6, NOW + 2 * INTERVAL)
                while await detector.run_once():
                    pass
        assert without_revisions(await concluded(database)) == without_revisions(
            await concluded(plain)
        )
    finally:
        await plain.close()


def without_revisions(found: dict[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """States without the arrival up to which they were read, which depends on when."""
    return found | {"detector_state": [row[:2] for row in found["detector_state"]]}


async def dies(detector: Detector, patch: pytest.MonkeyPatch) -> None:
    save, conclusions = detector.database.conclusions.save, detector.database.conclusions
    saves = 0

    async def second(some: Sequence[Conclusions], cursor: int, *late: Mapping[str, int]) -> None:
        nonlocal saves
        saves += 1
        if saves == 2:
            raise StoreUnavailableError("the plug")
        await save(some, cursor, *late)

    with patch.context() as here:
        here.setattr(conclusions, "save", second)
        with pytest.raises(StoreUnavailableError, match="plug"):
            await detector.run_once()
    await detector.database.lease.lead("one", 0, NOW)


async def test_what_is_no_backlog_is_judged_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten minutes of rounds; and a backlog of little more than the newest round."""

    async def never(service: str, facts: object) -> None:
        raise AssertionError("judged twice")

    monkeypatch.setattr(database.conclusions, "save_ahead", never)
    await database.facts.add(admitted(rounds(range(10))), ())
    detector = detecting(database, START + 11 * INTERVAL)
    while await detector.run_once():
        pass
    later = START + 60 * INTERVAL
    await database.facts.add(admitted(rounds([30, 31])), ())
    await database.lease.lead("one", 0, later)
    detector = detecting(database, later)
    while await detector.run_once():
        pass
    assert await database.conclusions.load("wechat") is not None
