"""`reachwatch explain`: a stored event told round by round, as the detector kept it, or as it is
folded again: both are the same."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import sqlalchemy as sa
from msgspec.structs import replace

from monitor.commands.explain import (
    ROUND_BYTES,
    explain,
    explain_replayed,
    explanation_json,
    explanation_text,
    run,
)
from monitor.detection.events.history import Folding
from monitor.detection.model import Event, Fact
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.store.database import Database, open_database
from monitor.store.engines import writing
from monitor.store.reading.events import list_events
from monitor.store.retention import prune
from monitor.store.tables import round_evidence
from probes.runtime.options import OptionError
from probes.wire.codec import encode
from tests.monitor.fleet import INTERVAL, START, admitted, events_bytes, from_round, rounds
from tests.world.stores import migrated

LIVED = 40
BLOCK = from_round(4, 20)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    """A store in which a detector has lived through a block."""
    made = await open_database(await migrated(tmp_path / "store.sqlite"))
    await made.facts.add(admitted(rounds(range(LIVED), BLOCK)), ())
    detector = Detector(made, Policy(), "one", lambda: START + 10**9)
    while await detector.run_once():
        pass
    yield made
    await made.close()


async def only(store: Database) -> Event:
    async with store.reading() as connection:
        (event,) = await list_events(connection)
    return event


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
    assert (explanation.skipped_rounds, explanation.begins_late) == (0, False)
    assert await events_bytes(store) == before


async def test_long_ones_lose_their_middle(store: Database) -> None:
    event = await only(store)
    everything = await explain(store, event)
    short = await explain(store, event, most=10)
    assert short.skipped_rounds == len({m.round for m in everything.series_rounds}) - 10
    assert short.series_rounds[0] == everything.series_rounds[0]
    little = await explain(store, event, read=10 * ROUND_BYTES)
    assert 0 < len({m.round for m in little.series_rounds}) <= 10 < little.skipped_rounds


async def test_as_text(store: Database) -> None:
    explanation = await explain(store, await only(store))
    text = explanation_text(explanation)
    assert "wechat in RU, tls.reset.sni, closed, confirmed" in text
    assert "AS64501  wechat/messaging  tls" in text
    table = text.split("tls\n")[1].splitlines()
    assert table[0].split()[0] == "ROUND"
    assert table[0].split()[-4:] == ["TOTAL", "NEEDED", "GATE", "TIER"]
    assert "(+" in table[1]
    assert "tls.reset.sni" in table[1]
    assert "confirmed" in text
    few = [
        replace(one, others=3, others_hold=21_000_000) if n == 1 else one
        for n, one in enumerate(explanation.series_rounds)
    ]
    table = explanation_text(replace(explanation, series_rounds=tuple(few))).splitlines()[5:]
    assert table[0].split()[-5:-3] == ["OTHERS", "TOTAL"]
    assert "0.0 of 0" in table[1]
    assert "21.0 of 3" in table[2]


async def test_an_event_keeps_its_explanation_when_its_measurements_go(store: Database) -> None:
    event = await only(store)
    before = await explain(store, event)
    await prune(store.engines.place, START + 10**9)
    assert await explain(store, event) == before


async def test_what_was_concluded_before_rounds_were_kept_is_folded_again(
    store: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    event = await only(store)
    whole = await explain(store, event)
    later = START + 8 * INTERVAL
    async with writing(store.engines) as connection:
        await connection.execute(sa.delete(round_evidence).where(round_evidence.c.round < later))
    late = await explain(store, event)
    assert late.begins_late
    assert late.series_rounds == tuple(m for m in whole.series_rounds if m.round >= later)
    given = argparse.Namespace(
        **VALUES, database=store.engines.place, files=[], event=event.id, json=True
    )
    out = io.StringIO()
    assert await run(given, out) == 0
    assert out.getvalue() == explanation_json(whole)
    # Without the measurements, what is kept is all that there is.
    await prune(store.engines.place, START + 10**9)
    out = io.StringIO()
    assert await run(given, out) == 0
    assert out.getvalue() == explanation_json(late)
    async with writing(store.engines) as connection:
        await connection.execute(sa.delete(round_evidence))
    assert await run(given, out) == 2
    assert capsys.readouterr().err == f"reachwatch: {event.id}: its rounds are not kept\n"


VALUES = {"data": None, "fingerprints": None, "pace": None}


async def test_the_command(
    store: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {**VALUES, "database": store.engines.place, "files": []}
    event = await only(store)
    given = argparse.Namespace(**values, event=event.id, json=True)
    out = io.StringIO()
    assert await run(given, out) == 0
    said = json.loads(out.getvalue())
    assert said["event"]["id"] == event.id
    assert said["series_rounds"][0]["vantages"][0]["technique"] == "tls.reset.sni"
    folded = []

    class Counted(Folding):
        def fold_facts(self, round: int, facts: Sequence[Fact]) -> None:
            folded.append(round)
            super().fold_facts(round, facts)

    monkeypatch.setattr("monitor.commands.replay.Folding", Counted)
    missing = argparse.Namespace(**values, event="f" * 16, json=False)
    assert await run(missing, out) == 2
    assert capsys.readouterr().err == (
        f"reachwatch: {'f' * 16}: no such event in the store or its replay\n"
    )
    assert not folded, "no event of this store can have that id, so there is nothing to fold"
    assert await explain_replayed(store, given.event, Policy())
    assert folded
    with pytest.raises(OptionError, match="16 hex digits"):
        await run(argparse.Namespace(**values, event="WeChat", json=False), out)


async def test_what_replay_finds_is_explained_without_a_detector(
    store: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    by_detector = await explain(store, await only(store))
    url = await migrated(tmp_path / "other.sqlite")
    other = await open_database(url)
    await other.facts.add(admitted(rounds(range(LIVED), BLOCK)), ())
    await other.close()
    out = io.StringIO()
    named = {"event": by_detector.event.id, "json": True}
    assert await run(argparse.Namespace(**VALUES, **named, database=url, files=[]), out) == 0
    assert out.getvalue() == explanation_json(by_detector)
    file = tmp_path / "all.jsonl"
    lines = [encode(one.measurement) + b"\n" for one in rounds(range(LIVED), BLOCK)]
    file.write_bytes(b"".join(lines))
    # In a file every probe is its own owner, and old enough: the event is the same one.
    given = {**VALUES, "database": None, "files": [str(file)]}
    out = io.StringIO()
    assert await run(argparse.Namespace(**given, **named), out) == 0
    by_file = json.loads(out.getvalue())
    assert by_file["event"]["onset"] == by_detector.event.onset
    assert by_file["series_rounds"][0]["round"] == by_detector.series_rounds[0].round
    assert await run(argparse.Namespace(**given, event="f" * 16, json=True), out) == 2
    assert capsys.readouterr().err.endswith("no such event in what `replay` finds in these files\n")
