"""What the detector kept of an event's rounds."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.detection.model import Event
from monitor.store import evidence
from monitor.store.database import Database
from monitor.store.reading.explanation import ROUND_BYTES, explain, explain_ends
from monitor.store.retention import prune
from tests.monitor.fleet import INTERVAL, START, events_bytes
from tests.monitor.stored_block import only, store_with_a_block


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    async with await store_with_a_block(tmp_path / "store.sqlite") as made:
        yield made


async def test_from_the_onset_to_the_end(store: Database) -> None:
    before = await events_bytes(store)
    explanation = await explain(store, await only(store))
    event, series_rounds = explanation.event, explanation.series_rounds
    assert series_rounds[0].round == event.onset == START + 4 * INTERVAL
    assert event.confirmed in {one.round for one in series_rounds if one.tier == "confirmed"}
    assert event.closed is not None
    assert series_rounds[-1].round == event.closed - INTERVAL
    assert {vantage.outcome for one in series_rounds for vantage in one.vantages} == {
        "failed",
        "worked",
    }
    assert explanation.skipped_rounds == 0
    assert await events_bytes(store) == before


async def test_long_ones_lose_their_middle(store: Database) -> None:
    event = await only(store)
    everything = await explain(store, event)
    short = await explain(store, event, most=10)
    assert short.skipped_rounds == len({m.round for m in everything.series_rounds}) - 10
    assert short.series_rounds[0] == everything.series_rounds[0]
    until = everything.series_rounds[20].round
    past = await explain(store, event, until=until)
    assert past.series_rounds == tuple(m for m in everything.series_rounds if m.round <= until)
    little = await explain(store, event, read=10 * ROUND_BYTES)
    assert 0 < len({m.round for m in little.series_rounds}) <= 10 < little.skipped_rounds


@pytest.mark.parametrize("at_once", [2, 5, 50])
async def test_both_ends_are_those_of_the_explanation(
    store: Database, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "FRAMES_AT_ONCE", at_once)
    event = await only(store)
    everything = await explain(store, event)
    rounds = sorted({m.round for m in everything.series_rounds})
    assert event.confirmed is not None
    assert event.confirmed < rounds[-1]
    until = everything.series_rounds[20].round
    for most in (1, 3, 10, len(rounds) - 1, len(rounds), 200):
        for read in (2 * ROUND_BYTES, 10 * ROUND_BYTES, 10**7):
            for last in (None, until):
                told = await explain_ends(store, event, most=most, read=read, until=last)
                whole = await explain(store, event, most=most, read=read, until=last)
                assert tuple(told) == whole.series_rounds


async def test_the_middle_is_not_read(store: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "FRAMES_AT_ONCE", 3)
    event = await only(store)
    rounds = len({m.round for m in (await explain(store, event)).series_rounds})
    asked: list[int] = []
    read = evidence.read

    async def noted(
        connection: AsyncConnection, event: Event, rounds: Sequence[int]
    ) -> dict[int, bytes]:
        asked.extend(rounds)
        return await read(connection, event, rounds)

    monkeypatch.setattr(evidence, "read", noted)
    told = await explain_ends(store, event, most=5, read=10**7)
    assert len({m.round for m in told}) == 5
    assert len(asked) == len(set(asked)) <= 3 * 3 < rounds


async def test_an_event_keeps_its_explanation_when_its_measurements_go(store: Database) -> None:
    event = await only(store)
    before = await explain(store, event)
    await prune(store.engines.place, START + 10**9)
    assert await explain(store, event) == before
