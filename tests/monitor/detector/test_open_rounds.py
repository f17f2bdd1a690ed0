"""Open rounds over a real store: folded for retests, at most every few seconds, and never saved."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Collection, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding
from monitor.detection.events.state import ServiceState
from monitor.detection.fingerprints import OWN
from monitor.detection.model import Fact
from monitor.detection.policy import Policy
from monitor.detector.open_rounds import MAX_ROUNDS, OpenRounds
from monitor.detector.retest_publisher import CHECK_SECONDS, Due, OnRetest, RetestTracker
from monitor.detector.round_reader import RoundReader, no_pause
from monitor.store.database import Database, open_database
from probes.wire.codec import decode
from probes.wire.measurement import LIVENESS, Role
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
        return OpenRounds(self.database.facts, self.reader, tracker, POLICY, OWN, lambda: self.now)

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
    monkeypatch.setattr(fleet.reader, "judge", None)
    assert await folded.fold({"wechat": state}, {"wechat": opened}, 0, no_pause) == {}


async def test_what_was_read_is_neither_read_nor_folded_again(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    folded, state = fleet.open_rounds(fleet.ask), await fleet.state()
    read: list[str] = []
    steps: list[int] = []
    lines, fold_facts = fleet.database.facts.lines, Folding.fold_facts

    async def noted(
        first: int, last: int, services: Collection[str], role: Role, after: int = 0
    ) -> Any:
        async for some in lines(first, last, services, role, after):
            if role is Role.VANTAGE and LIVENESS not in services:
                read.extend(decode(line.line).probe for line in some)
            yield some

    def counted(folding: Folding, round: int, facts: Sequence[Fact]) -> None:
        steps.append(len(facts))
        fold_facts(folding, round, facts)

    monkeypatch.setattr(fleet.database.facts, "lines", noted)
    monkeypatch.setattr(Folding, "fold_facts", counted)

    async def fold(rounds: Sequence[int]) -> None:
        fleet.now += POLICY.ms(CHECK_SECONDS)
        await folded.fold({"wechat": state}, {"wechat": rounds}, 0, no_pause)

    await fold([OPEN])
    await fold([OPEN])
    assert (read, steps) == ([PEOPLE[0].probe, PEOPLE[3].probe], [2])
    await fleet.database.facts.add(
        admitted(rounds([3], from_round(3), [PEOPLE[1]], interval=USUAL)), ()
    )
    await fold([OPEN])
    assert (read[2:], steps[1:]) == ([PEOPLE[1].probe], [3])
    # A control tells how all are judged.
    await fleet.database.facts.add(admitted(rounds([3], people=[PEOPLE[5]], interval=USUAL)), ())
    await fold([OPEN])
    assert (len(read[3:]), steps[2:]) == (3, [3])
    state = copy(state)  # as after a round that is over
    await fold([OPEN])
    assert (len(read[3:]), steps[3:]) == (3, [3])


@pytest.mark.parametrize("seed", range(8))
async def test_it_concludes_and_asks_what_it_would_if_it_read_all_of_it_each_time(
    fleet: Fleet, seed: int
) -> None:
    """Whoever comes first, and in however many parts: liveness and controls change verdicts."""
    rng, state = random.Random(seed), await fleet.state()
    blocked = from_round(3)
    news = admitted(
        [
            *rounds([3], blocked, PEOPLE[1:3], interval=USUAL),
            *rounds([3], blocked, PEOPLE[4:], interval=USUAL),
            *rounds(range(15, 17), from_round(15), PEOPLE, start=START, interval=INTERVAL),
        ]
    )
    rng.shuffle(news)
    asked = list[Due](), list[Due]()

    def asking(which: list[Due]) -> OpenRounds:
        async def ask(due: Due) -> None:
            which.append(due)

        return fleet.open_rounds(ask)

    kept, whole = map(asking, asked)
    opened = {"wechat": [OPEN, OPEN + INTERVAL]}
    fleet.now = OPEN + INTERVAL
    while news:
        some = [news.pop() for _ in range(min(len(news), rng.randrange(1, 5)))]
        await fleet.database.facts.add(some, ())
        fleet.now += POLICY.ms(CHECK_SECONDS)
        await kept.fold({"wechat": state}, opened, 0, no_pause)
        whole._kept.clear()
        await whole.fold({"wechat": state}, opened, 0, no_pause)
        for round in opened["wechat"]:
            assert kept._kept["wechat", round].folded == whole._kept["wechat", round].folded
    assert asked[0] == asked[1]
