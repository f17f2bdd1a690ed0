"""A whole incident: files in, one event out, the same bytes however they came."""

from __future__ import annotations

import io
import random
from pathlib import Path

import msgspec

from monitor.commands.replay import FOREVER, fold_store, lines, replay
from monitor.detection.model import Event, EventState, Tier
from monitor.detection.policy import Policy
from monitor.detector.loop import Detector
from monitor.store.database import Database, open_database
from tests.monitor.fleet import events_bytes
from tests.monitor.interop.incident import BEGIN, BLOCK_FROM, BLOCK_TO, BLOCKING, incident
from tests.monitor.interop.test_importing import as_csv, taken, url

HOUR = 3_600_000
START = int(BEGIN.timestamp() * 1000)


async def replayed(folder: Path) -> bytes:
    database = await open_database(url(folder))
    try:
        return lines((await fold_store(database, FOREVER, Policy())).events)
    finally:
        await database.close()


async def test_one_event_with_its_onset_and_end_the_same_bytes_in_any_order(
    tmp_path: Path,
) -> None:
    rows = list(incident())
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
    (first / "a.csv").write_bytes(as_csv(rows))
    assert (await taken(first, first / "a.csv"))[0] == 0
    random.Random(1).shuffle(rows)
    half = len(rows) // 2
    (second / "a.csv").write_bytes(as_csv(sorted(rows[:half], key=str)))
    # A measurement whose rows are in two files is two stories; keep each in one.
    whole = {row["measurement_uid"] for row in rows[:half]}
    (second / "a.csv").write_bytes(as_csv(r for r in rows if r["measurement_uid"] in whole))
    (second / "b.csv").write_bytes(as_csv(r for r in rows if r["measurement_uid"] not in whole))
    assert (await taken(second, second / "b.csv", second / "a.csv"))[0] == 0
    told = await replayed(first)
    assert told == await replayed(first)
    assert told == await replayed(second)
    (event,) = (msgspec.json.decode(line, type=Event) for line in told.splitlines())
    begun, ended = START + BLOCK_FROM * HOUR, START + BLOCK_TO * HOUR
    assert (event.service, event.country, event.asns) == ("telegram", "KE", (BLOCKING,))
    assert (event.tier, event.state, event.control) == (
        Tier.LIKELY,
        EventState.CLOSED,
        "none",
    )
    assert 0 <= event.onset - begun <= 2 * HOUR
    assert event.closed is not None
    assert 0 <= event.closed - ended <= 3 * HOUR
    assert {"control_by_other_networks", "no_quorum_for_imports"} <= set(event.against)
    assert event.targets == ("telegram/dc", "telegram/web")
    assert event.witnesses


async def test_the_table_says_of_each_network_since_when(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(as_csv(incident()))
    assert (await taken(tmp_path, tmp_path / "a.csv"))[0] == 0
    database = await open_database(url(tmp_path))
    out = io.BytesIO()
    try:
        await replay(database, None, None, False, out, networks=True)
    finally:
        await database.close()
    _, event, ended, *rest = out.getvalue().decode().splitlines()
    networks, heard = rest[:2], rest[2:]
    assert "AS64500" in event
    assert ended.startswith("    ended 2026-03-10T")
    assert heard == [
        "telegram/dc in KE: 3 networks, 3 judged",
        "telegram/web in KE: 3 networks, 3 judged",
    ]
    assert all(line.startswith("    since 2026-03-07T0") for line in networks)
    assert {"telegram/dc", "telegram/web"} == {line.split()[3] for line in networks}


async def looked(database: Database, holder: str) -> None:
    detector = Detector(database, Policy(), holder, lambda: START + 10_000 * HOUR)
    while await detector.run_once():
        pass
    await detector.run_once()
    await detector.leadership.release()


async def test_a_restart_in_the_middle_and_late_files_change_nothing(tmp_path: Path) -> None:
    rows = list(incident())
    middle = f"{BEGIN:%Y-%m-}{8:02d}"
    late = tmp_path / "late.csv"
    early = tmp_path / "early.csv"
    late.write_bytes(as_csv(r for r in rows if r["measurement_start_time"] >= middle))
    early.write_bytes(as_csv(r for r in rows if r["measurement_start_time"] < middle))
    assert (await taken(tmp_path, late))[0] == 0
    for holder, file in (("one", None), ("two", early), ("three", None)):
        if file is not None:
            assert (await taken(tmp_path, file))[0] == 0
        database = await open_database(url(tmp_path))
        try:
            await looked(database, holder)
            live = await events_bytes(database)
        finally:
            await database.close()
    assert live == await replayed(tmp_path)
    assert live.count(b"\n") == 1
