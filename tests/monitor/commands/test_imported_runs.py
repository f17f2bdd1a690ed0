"""Runs of OONI's: their measurements come together, whatever is stored between runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from monitor.commands.imported_runs import RunSelection, runs_of_store
from monitor.interop.ooni.keys import run_of
from monitor.interop.ooni.run import measurements, stored
from monitor.store.database import open_database
from monitor.store.records import Admitted
from probes.wire.codec import encode
from probes.wire.measurement import Measurement
from tests.monitor.interop.samples import DC, connect, document, query, targets_by_name


def made(report: str) -> list[Measurement]:
    """A run at two targets; all of them began in the same second."""
    web = query("web.telegram.org", "149.154.167.99")
    keys = document(tcp_connect=[connect(DC[0], 443)], queries=[web]) | {"report_id": report}
    return measurements(run_of(keys, targets_by_name()), targets_by_name())


@pytest.mark.parametrize("chunk", [1, 3, 100])
def test_runs_are_told_apart_and_kept_together(tmp_path: Path, chunk: int) -> None:
    runs = [made(f"r{number}") for number in range(4)]

    async def read() -> list[list[Measurement]]:
        async with await open_database(f"sqlite+aiosqlite:///{tmp_path}/x.db") as database:
            admitted = [
                Admitted(stored=stored(one), line=encode(one), received=one.started)
                for run in runs
                for one in run
            ]
            await database.facts.add(admitted, ())
            return [run async for run in runs_of_store(database, RunSelection(), chunk)]

    assert asyncio.run(read()) == runs


def test_the_end_is_not_included() -> None:
    (first, *_) = run = made("r")
    assert RunSelection(since=first.started).has(run)
    assert not RunSelection(until=first.started).has(run)
