"""The live detector over a real store: in whatever order measurements arrive, with retests and
imports among them, restarted wherever it may be, it ends in the same state and the same bytes, and
replay says the same, as often as it is asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from monitor.commands.replay import FOREVER, fold_store, lines
from monitor.detection.events.fold import initial
from monitor.detection.events.history import Folding
from monitor.detection.events.state import encode
from monitor.detection.events.state_change import restored
from monitor.detection.model import OWN_SOURCE, Stored
from monitor.detection.policy import Policy
from monitor.detector import round_reader
from monitor.store.database import Database, open_database
from monitor.store.records import Conclusions, StoreUnavailableError
from probes.wire.measurement import LIVENESS_TARGETS, Role, service_of
from tests.monitor.detection import imported_runs as runs
from tests.monitor.detection.events.test_history_laws import again
from tests.monitor.detector.live import World
from tests.monitor.fleet import PEOPLE, START, admitted, events_bytes, kept_evidence, rounds
from tests.world.postgres import PostgreSQL, postgres_server
from tests.world.stores import migrated

__all__ = ["postgres_server"]

TARGET = runs.TARGET
SERVICE = service_of(TARGET)
ROUNDS = 26
TURNS = 12
SHORTEST = 5
"""Rounds of a block."""
HOUR = 3_600_000
VANTAGES = [who for who in PEOPLE if who.role is Role.VANTAGE]
VICTIMS = [who for who in PEOPLE if who.asn == 64501]


def everything(blocked: tuple[int, int], retested: bool) -> list[Stored]:
    """A fleet's rounds with a block, what it measured again at once, and a day of runs elsewhere
    that were imported, in the last hours of which nobody gets through in one network."""
    first, last = blocked
    made = rounds(range(ROUNDS), lambda n, who: who in VICTIMS and first <= n < last, target=TARGET)
    for number in range(first, last, 4) if retested else ():
        for who in VICTIMS:
            made += again(who, number, TARGET)
    for number in range(24):
        for asn in (64601, 64602):
            seen = runs.dc(6 if asn == 64601 and number >= 14 else 0)
            at = START - (23 - number) * HOUR // 2 + asn
            made.append(runs.stored(runs.measurement([*seen, runs.record(9)], at, asn)))
    return made


def in_turn() -> list[list[Stored]]:
    """Later rounds, in each of which one of the fleet measures: most of a state stays as it was."""
    return [
        rounds([ROUNDS + number], people=[VANTAGES[number % len(VANTAGES)]], target=TARGET)
        for number in range(TURNS)
    ]


def straight(stored: Sequence[Stored], policy: Policy) -> Folding:
    """Everything, folded once and in order."""
    folding = Folding(initial(SERVICE), policy)
    folding.fold(
        sorted(
            {
                each.measurement.round
                for each in stored
                if each.measurement.target not in LIVENESS_TARGETS and each.role is not Role.CONTROL
            }
        ),
        stored,
    )
    return folding


async def replayed(database: Database) -> bytes:
    return lines((await fold_store(database, FOREVER, Policy())).events)


async def killed(world: World, rng: random.Random) -> None:
    """The detector dies between two saves of what it works on, and another one goes on."""
    conclusions, left = world.database.conclusions, rng.randint(0, 4)
    save = conclusions.save

    async def dies(some: Sequence[Conclusions], cursor: int, *late: Mapping[str, int]) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise StoreUnavailableError("the plug")
        await save(some, cursor, *late)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(round_reader, "MAX_ROUNDS", rng.randint(1, 4))
        patch.setattr(conclusions, "save", dies)
        with contextlib.suppress(StoreUnavailableError):
            await world.settle()
    world.detector = world.another("first")


async def delivered(stored: Sequence[Stored], rng: random.Random, url: str) -> None:
    """Deliver in random batches, restart or kill now and then, and compare."""
    database = await open_database(url)
    try:
        world = World(database)
        pieces = list(stored)
        rng.shuffle(pieces)
        while pieces:
            size = rng.randint(1, len(stored) // 2)
            await world.arrive(pieces[:size])
            pieces = pieces[size:]
            if rng.random() < 0.4:
                world.detector = world.another("first")
            if rng.random() < 0.4:
                await killed(world, rng)
            if rng.random() < 0.8:
                await world.settle()
        for turn in in_turn():
            await world.arrive(turn)
            await (killed(world, rng) if rng.random() < 0.2 else world.settle())
            if rng.random() < 0.2:
                world.detector = world.another("first")
        await world.settle()
        live = await events_bytes(database)
        assert b'"source":"ooni"' in live
        assert b'"source":"probe"' in live
        assert await replayed(database) == live
        assert await replayed(database) == live
        found = await database.conclusions.load(SERVICE)
        assert found is not None
        everyone = [*stored, *itertools.chain.from_iterable(in_turn())]
        folding = straight(everyone, world.detector.policy)
        state, expected = restored(found[1]), folding.state
        assert state == expected
        assert encode(state) == encode(expected)
        own = [each for each in folding.evidence if each.source == OWN_SOURCE]
        assert len(own) >= SHORTEST, "there is evidence in every round of the block"
        assert await kept_evidence(database, SERVICE) == folding.evidence
    finally:
        await database.close()


@given(
    st.integers(3, 12),
    st.integers(SHORTEST, ROUNDS),
    st.booleans(),
    st.integers(0, 2**32),
)
@settings(
    max_examples=max(2, settings.default.max_examples // 25),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
def test_any_interleaving_ends_in_the_same_state_and_bytes(
    first: int, length: int, retested: bool, seed: int
) -> None:
    stored = everything((first, min(ROUNDS, first + length)), retested)
    with tempfile.TemporaryDirectory() as place:
        url = f"sqlite+aiosqlite:///{place}/store.sqlite"
        asyncio.run(delivered(stored, random.Random(seed), url))


@pytest.mark.needs("postgresql")
async def test_postgresql_ends_in_the_same_state_and_bytes(postgres_server: PostgreSQL) -> None:
    url = postgres_server.fresh()
    await delivered(everything((5, 18), True), random.Random(1), url)
    postgres_server.drop(url)


def test_one_store_is_like_another() -> None:
    """The order in which a store got them leaves no trace in what is replayed."""

    async def both(place: Path) -> None:
        stored = everything((4, 20), True)
        said = []
        for name in ("one", "two"):
            database = await open_database(await migrated(place / f"{name}.sqlite"))
            await database.facts.add(admitted(stored), ())
            said.append(await replayed(database))
            await database.close()
            random.Random(name).shuffle(stored)
        assert said[0] == said[1] != b""

    with tempfile.TemporaryDirectory() as place:
        asyncio.run(both(Path(place)))
