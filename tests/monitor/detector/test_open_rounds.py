"""Open rounds over a real store: folded for retests, at most every few seconds, and never saved."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding
from monitor.detection.events.state import ServiceState
from monitor.detection.fingerprints import OWN
from monitor.detection.policy import Policy
from monitor.detector.open_rounds import MAX_ROUNDS, OpenRounds
from monitor.detector.retest_publisher import CHECK_SECONDS, Due, OnRetest, RetestTracker
from monitor.detector.round_reader import RoundReader, no_pause
from monitor.store.database import Database, open_database
from tests.monitor.fleet import INTERVAL, PEOPLE, START, admitted, from_round, rounds
from tests.world.stores import migrated

POLICY = Policy()
USUAL = 5 * INTERVAL
OPEN = START + 3 * USUAL
"""The round that is not over."""


class Fleet:
    """A store with three rounds that are over and one in which the first vantage fails."""

    def __init__(self, database: Database) -> None:
        self.database, self.now, self.asked = database, OPEN + 20_000, list[Due]()
        self.reader = RoundReader(database.facts, POLICY)

    async def ask(self, due: Due) -> None:
        self.asked.append(due)

    def open_rounds(self, ask: OnRetest | None) -> OpenRounds:
        tracker = RetestTracker(POLICY, ask)
        return OpenRounds(self.reader, tracker, POLICY, OWN, lambda: self.now)

    async def state(self) -> ServiceState:
        """The state after the rounds that are over."""
        folding = Folding(initial("wechat"), POLICY)
        await self.reader.fold(
            {"wechat": folding}, {"wechat": [START + n * USUAL for n in range(3)]}
        )
        return folding.state


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with await open_database(await migrated(tmp_path / "store.sqlite")) as database:
        await database.facts.add(admitted(rounds(range(3), interval=USUAL)), ())
        failing = rounds([3], from_round(3), [PEOPLE[0], PEOPLE[3]], interval=USUAL)
        await database.facts.add(admitted(failing), ())
        yield Fleet(database)


async def test_a_failure_in_an_open_round_is_asked_about_at_once(fleet: Fleet) -> None:
    state = await fleet.state()
    before = state.round
    again = await fleet.open_rounds(fleet.ask).fold(
        {"wechat": state}, {"wechat": [OPEN]}, 0, no_pause
    )
    assert [place[:2] for due in fleet.asked for place in due] == [("RU", 64501), ("DE", 64999)]
    assert (again, state.round) == ({}, before)


async def test_they_are_folded_now_and_then(fleet: Fleet) -> None:
    folded, state = fleet.open_rounds(fleet.ask), await fleet.state()

    async def fold(rest_factor: float) -> dict[str, int]:
        return await folded.fold({"wechat": state}, {"wechat": [OPEN]}, rest_factor, no_pause)

    first = fleet.now
    assert await fold(0) == {}
    assert await fold(0) == {"wechat": first + POLICY.ms(CHECK_SECONDS)}
    fleet.now += POLICY.ms(CHECK_SECONDS)
    assert await fold(10**9) == {}
    # After work that took long, for as long as the rest lasts.
    fleet.now += POLICY.ms(CHECK_SECONDS)
    assert (await fold(0))["wechat"] > fleet.now + POLICY.ms(CHECK_SECONDS)


@pytest.mark.parametrize(
    ("opened", "asks"),
    [
        pytest.param([], True, id="none is open"),
        pytest.param([OPEN + USUAL], True, id="it has not begun"),
        pytest.param([OPEN - n for n in range(MAX_ROUNDS + 1)], True, id="more than a fleet has"),
        pytest.param([OPEN], False, id="nobody is to be asked"),
    ],
)
async def test_nothing_is_read(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, opened: list[int], asks: bool
) -> None:
    folded, state = fleet.open_rounds(fleet.ask if asks else None), await fleet.state()
    monkeypatch.setattr(fleet.reader, "fold", None)
    assert await folded.fold({"wechat": state}, {"wechat": opened}, 0, no_pause) == {}
