"""An explanation is the same from another process, and so is the reason why there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from monitor.commands.explain import NotExplainableError, explain
from monitor.commands.explain_apart import explain_apart
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.store.database import Database, open_database
from monitor.store.reading.events import list_events
from monitor.store.retention import prune
from tests.monitor.fleet import START, admitted, from_round, rounds

FAR = START + 10**9


def url_of(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}/store.sqlite"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    """A store in which a detector has lived through a block."""
    made = await open_database(url_of(tmp_path))
    await made.facts.add(admitted(rounds(range(30), from_round(4, 20))), ())
    detector = Detector(made, Policy(), "one", lambda: FAR)
    while await detector.run_once():
        pass
    yield made
    await made.close()


async def test_another_process_says_the_same(store: Database, tmp_path: Path) -> None:
    async with store.reading() as connection:
        (event,) = await list_events(connection)
    here = await explain(store, event.id)
    assert await explain_apart(store, event.id, url=url_of(tmp_path), here=0) == here
    # With so few measurements nothing is started, so the URL is not used.
    assert await explain_apart(store, event.id, url="sqlite+aiosqlite:////nowhere") == here
    with pytest.raises(NotExplainableError, match="no such file"):
        await explain_apart(store, event.id, url="sqlite+aiosqlite:////nowhere", here=0)
    await prune(url_of(tmp_path), FAR)
    with pytest.raises(NotExplainableError, match="no longer kept"):
        await explain_apart(store, event.id, url=url_of(tmp_path), here=0)
