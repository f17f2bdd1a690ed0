"""A detector over a real store, with a clock that is set by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

import pytest

from monitor.detection.model import Event, Stored
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.detector.retest_publisher import OnRetest
from monitor.store.database import Database, open_database
from monitor.store.reading.events import count_transitions, list_events
from tests.monitor.fleet import (
    INTERVAL,
    START,
    admitted,
    from_round,
)
from tests.monitor.store.arrivals import arrivals
from tests.world.stores import migrated

POLICY = Policy()
BLOCK = from_round(4)
END = START + 10**9


class World:
    """A store, a clock that is set by hand, and a detector."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = self.newest = START
        self.told: list[Event] = []
        self.lags: list[float] = []
        self.detector = self.another("first")

    def another(
        self,
        holder: str,
        on_retest: OnRetest | None = None,
        database: Database | None = None,
    ) -> Detector:
        """A process of its own: nothing in memory."""
        return Detector(
            database or self.database,
            POLICY,
            holder,
            lambda: self.now,
            on_change=self._tell,
            observe_lag=self.lags.append,
            on_retest=on_retest,
            poll_seconds=0.01,
            rest_factor=0,
        )

    async def _tell(self, events: list[Event]) -> None:
        self.told += events

    async def arrive(self, stored: Sequence[Stored], at: int | None = None) -> None:
        self.newest = max(self.newest, *(each.measurement.round for each in stored))
        await self.database.facts.add(admitted(stored, at), ())

    async def settle(self, at: int | None = None) -> None:
        """Let the detector do all that it can, by default when the newest round is just over."""
        self.now = self.newest + INTERVAL + 30_000 if at is None else at
        while await self.detector.run_once():
            pass

    async def events(self) -> list[Event]:
        async with self.database.reading() as connection:
            return await list_events(connection)

    async def journal(self) -> list[str]:
        async with self.database.reading() as connection:
            return sorted(word for *_, word, n in await count_transitions(connection) if n)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = await open_database(await migrated(tmp_path / "store.sqlite"))
    yield World(database)
    await database.close()


def kinds(events: Iterable[Event]) -> list[str]:
    return [event.history[-1].kind for event in events]


async def folded(world: World) -> int:
    found = await world.database.conclusions.load("wechat")
    assert found is not None
    return found[0]


async def shown(world: World) -> list[Event]:
    """What pages people: metrics and MQTT ask for the same."""
    async with world.database.reading() as connection:
        return list(await list_events(connection, state="open", published=True))


async def arrived(world: World) -> int:
    return len(await arrivals(world.database))
