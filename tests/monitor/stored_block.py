"""A store in which a detector has lived through a block."""

from __future__ import annotations

from pathlib import Path

from monitor.detection.model import Event
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.store.database import Database, open_database
from monitor.store.reading.events import list_events
from tests.monitor.fleet import START, admitted, from_round, rounds
from tests.world.stores import migrated

LIVED = 40
BLOCK = from_round(4, 20)


async def store_with_a_block(place: Path) -> Database:
    made = await open_database(await migrated(place))
    await made.facts.add(admitted(rounds(range(LIVED), BLOCK)), ())
    detector = Detector(made, Policy(), "one", lambda: START + 10**9)
    while await detector.run_once():
        pass
    return made


async def only(store: Database) -> Event:
    async with store.reading() as connection:
        (event,) = await list_events(connection)
    return event
