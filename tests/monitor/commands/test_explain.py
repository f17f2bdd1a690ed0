"""`reachwatch explain`: a stored event told round by round, as the detector kept it, or as it is
folded again: both are the same."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from monitor.commands.explain import (
    explain_replayed,
    explanation_json,
    explanation_text,
    run,
)
from monitor.detection.events.history import Folding
from monitor.detection.model import Fact
from monitor.detection.policy import Policy
from monitor.store.database import Database, open_database
from monitor.store.reading.explanation import explain
from probes.runtime.options import OptionError
from probes.wire.codec import encode
from tests.monitor.fleet import (
    admitted,
    rounds,
)
from tests.monitor.stored_block import BLOCK, LIVED, only, store_with_a_block
from tests.world.stores import migrated


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Database]:
    async with await store_with_a_block(tmp_path / "store.sqlite") as made:
        yield made


async def test_as_text(store: Database) -> None:
    explanation = await explain(store, await only(store))
    text = explanation_text(explanation)
    assert "WeChat (wechat) in RU, tls.reset.sni, closed, confirmed" in text
    elsewhere = replace(explanation, event=replace(explanation.event, service="own-server"))
    assert ": own-server in RU" in explanation_text(elsewhere)
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
