"""`reachwatch replay`: from a store, from files, and what it prints."""

from __future__ import annotations

import argparse
import io
import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.commands.replay import (
    FOREVER,
    coverage_text,
    event_line,
    fold_files,
    fold_store,
    lines,
    replay,
    run,
)
from monitor.detection.events.watch_coverage import NetworkCoverage
from monitor.detection.model import Event, Stored
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.interop.forms import event_form, rfc3339
from monitor.store.database import open_database
from probes.wire.codec import encode
from tests.monitor.fleet import INTERVAL, PEOPLE, START, admitted, events_bytes, from_round, rounds
from tests.world.stores import migrated

BLOCK = from_round(4, 20)


def given(*files: str, **other: object) -> argparse.Namespace:
    values = {
        "files": list(files),
        "from_": None,
        "to": None,
        "fingerprints": None,
        "json": True,
        "networks": False,
        "pace": None,
        "database": None,
        "data": None,
        "archive": None,
    }
    return argparse.Namespace(**values | other)


def text(stored: list[Stored]) -> bytes:
    return b"".join(encode(one.measurement) + b"\n" for one in stored)


async def replayed(stored: list[Stored], *, as_json: bool = True, **span: int | None) -> bytes:
    out = io.BytesIO()
    await replay(stored, span.get("from_ms"), span.get("to_ms"), as_json, out)
    return out.getvalue()


def decoded(lines: bytes) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in lines.splitlines()]


@pytest.mark.parametrize("seed", [0, *(pytest.param(n, marks=pytest.mark.rest) for n in (1, 2))])
async def test_store_emptied_of_conclusions_replays_the_live_events(
    tmp_path: Path, seed: int
) -> None:
    everything = rounds(range(40), BLOCK)
    live = await open_database(await migrated(tmp_path / "live.sqlite"))
    other = await open_database(await migrated(tmp_path / "other.sqlite"))
    try:
        await live.facts.add(admitted(everything), ())
        detector = Detector(live, Policy(), "one", lambda: START + 10**9)
        while await detector.run_once():
            pass
        expected = await events_bytes(live)
        assert b'"tier":"confirmed"' in expected
        random.Random(seed).shuffle(everything)
        await other.facts.add(admitted(everything), ())
        assert lines((await fold_store(other, FOREVER, Policy())).events) == expected
        await live.conclusions.clear()
        assert lines((await fold_store(live, FOREVER, Policy())).events) == expected
    finally:
        await live.close()
        await other.close()


async def test_removing_one_agreeing_vantage_changes_the_events() -> None:
    everything = rounds(range(20), BLOCK)
    less = [one for one in everything if one.measurement.probe != PEOPLE[0].probe]
    assert await replayed(everything) != await replayed(less)


async def test_span_chooses_what_is_printed_and_not_what_is_known() -> None:
    everything = rounds(range(60), lambda n, who: who.asn == 64501 and (4 <= n < 12 or n >= 30))
    first, second = decoded(await replayed(everything))
    late = await replayed(everything, from_ms=START + 25 * INTERVAL)
    assert decoded(late) == [second]
    early = await replayed(everything, to_ms=START + 25 * INTERVAL)
    assert decoded(early) == [first]


async def test_table_for_people() -> None:
    lines = (await replayed(rounds(range(20), BLOCK), as_json=False)).decode().splitlines()
    assert lines[0].split()[:4] == ["EVENT", "SERVICE", "COUNTRY", "NETWORKS"]
    assert "AS64501" in lines[1]
    assert "tls.reset.sni" in lines[1]


async def test_json_has_the_form_of_the_api_and_the_networks() -> None:
    everything = rounds(range(20), BLOCK)
    (event,) = fold_files(everything, FOREVER, Policy()).events
    (printed,) = decoded(await replayed(everything))
    networks = printed.pop("networks")
    assert printed == msgspec.to_builtins(event_form(event))
    assert printed["onset"] == rfc3339(START + 4 * INTERVAL)
    assert 0.5 < printed["confidence"] <= 1
    assert [(each["asn"], each["target"]) for each in networks] == [(64501, "wechat/messaging")]
    assert networks[0]["onset"] == printed["onset"]
    decoded_again = msgspec.json.decode(event_line(event), type=Event)
    assert decoded_again == event


async def test_no_events_says_why() -> None:
    quiet = rounds(range(3))
    text = (await replayed(quiet, as_json=False)).decode().splitlines()
    assert text[0] == "no events"
    assert text[1].startswith("wechat/messaging in ")
    out, err = io.BytesIO(), io.StringIO()
    await replay(quiet, None, None, True, out, err=err)
    assert out.getvalue() == b""
    assert err.getvalue().startswith("no events: wechat/messaging in ")
    assert await replayed([], as_json=False) == (
        b"no events\nno measurement of a service was found\n"
    )
    late = await replayed(rounds(range(20), BLOCK), as_json=False, from_ms=START + 10**9)
    assert late == b"no events\nthe events are older than --from\n"


def test_networks_that_were_not_judged_are_named_up_to_a_number() -> None:
    coverage = [
        NetworkCoverage("a/b", "KE", n, "ooni", "3 of 8 runs that worked") for n in range(1, 13)
    ]
    (line,) = coverage_text([*coverage, NetworkCoverage("a/b", "KE", 99, "ooni")]).splitlines()
    assert line.startswith("a/b in KE: 13 networks, 1 judged; AS1 3 of 8 runs that worked, AS2 ")
    assert line.endswith("AS10 3 of 8 runs that worked, and 2 more")


async def test_command_reads_files_and_standard_order_does_not_matter(tmp_path: Path) -> None:
    everything = rounds(range(20), BLOCK)
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    one.write_bytes(text(everything[:50]))
    two.write_bytes(text(everything[40:]))
    outs = []
    for names in ((one, two), (two, one)):
        out = io.BytesIO()
        assert await run(given(*map(str, names)), out) == 0
        outs.append(out.getvalue())
    assert outs[0] == outs[1]
    # In a file the owner is the probe and the role is the one it claims.
    (event,) = decoded(outs[0])
    assert event["tier"] == "confirmed"


async def test_command_reads_the_store_of_the_options(tmp_path: Path) -> None:
    url = await migrated(tmp_path / "store.sqlite")
    database = await open_database(url)
    await database.facts.add(admitted(rounds(range(20), BLOCK)), ())
    await database.close()
    out = io.BytesIO()
    assert await run(given(database=url), out) == 0
    assert len(decoded(out.getvalue())) == 1


async def test_bad_lines_are_named_and_nothing_is_printed(tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_bytes(text(rounds([0])[:1]) + b"{\nnot json\n" * 15)
    out, err = io.BytesIO(), io.StringIO()
    assert await run(given(str(file)), out, err) == 2
    assert out.getvalue() == b""
    told = err.getvalue().splitlines()
    assert told[0].startswith(f"reachwatch: {file}:2: ")
    assert told[-1] == "reachwatch: and 10 more"


async def test_missing_file_and_bad_store_give_one_line(tmp_path: Path) -> None:
    err = io.StringIO()
    assert await run(given(str(tmp_path / "none.jsonl")), io.BytesIO(), err) == 2
    assert await run(given(database="mysql://x/y"), io.BytesIO(), err) == 2
    told = err.getvalue().splitlines()
    assert told[0] == f"reachwatch: {tmp_path}/none.jsonl: No such file or directory"
    assert len(told) == 2
