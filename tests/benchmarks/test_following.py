"""The made-up runs of the benchmark: each is read whole, and a block hits its network alone."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.following import year
from benchmarks.following.runs import RESET, TESTS, Block, runs
from monitor.interop.ooni import reading
from tests.monitor.interop.samples import targets_by_name
from tests.world.stores import migrated


def test_every_run_is_read() -> None:
    made = list(runs(2, range(490_000, 490_001), 2.0))
    assert {run.test for run in made} == set(TESTS)
    for number, run in enumerate(made):
        (item,) = reading.line_items(run.line, number, targets_by_name())
        assert isinstance(item, reading.ImportedRun), item
        assert {measurement.vantage.asn for measurement, _ in item.found} == {run.asn}
    assert len({run.report for run in made}) == len(made)


def test_a_block_hits_its_network_and_test_in_its_time() -> None:
    begin = 490_001 * 3600
    block = Block("telegram", 64_512, begin, begin + 3600)
    for run in runs(2, range(490_000, 490_003), 5.0, (block,)):
        hit = (run.test, run.asn) == ("telegram", 64_512) and begin <= run.at < begin + 3600
        assert (run.failure == RESET) == hit


async def test_a_year_repeats_the_first_hours_as_hours_and_days(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(year, "DAYS", 12)
    monkeypatch.setattr(year, "BY_HOUR", 10)
    file = tmp_path / "store.sqlite"
    await migrated(file)
    today = 20_000 * year.DAY_MS
    with closing(sqlite3.connect(file)) as store, store:
        store.execute("INSERT INTO target (id, service) VALUES ('telegram/dc', 'telegram')")
        for hour, state, number in ((0, "ok", 5), (1, "ok", 7), (1, "blocked", 2), (6, "ok", 90)):
            store.execute(
                "INSERT INTO cell (hour, target, country, asn, state, rule, n, vantages, "
                "all_vantages) VALUES (?, 'telegram/dc', 'KE', 64512, ?, 'r', ?, 1, 1)",
                [today + hour * year.HOUR_MS, state, number],
            )
    # Three cells of six hours, four times a day for ten days, and two a day for two.
    assert year.stretch(file, 6) == 3 * 4 * 10 + 2 * 2
    with closing(sqlite3.connect(file)) as store:
        by_day = "SELECT hour / 86400000, sum(n), max(hours) FROM cell GROUP BY 1 ORDER BY 1"
        days = store.execute(by_day).fetchall()
        assert [day for day, _, _ in days] == list(range(20_000 - 11, 20_001))
        assert {number for _, number, _ in days} == {4 * (5 + 7 + 2)}
        assert [hours for _, _, hours in days] == [24] * 2 + [1] * 10
        sums = store.execute("SELECT asn, count(*), min(n), max(n) FROM service_day GROUP BY 1")
        assert sums.fetchall() == [(-1, 12, 56, 56), (64512, 12, 56, 56)]
        spans = store.execute("SELECT span, count(*) FROM cell_sum GROUP BY 1").fetchall()
        # Two hours four times a day for ten days, then one a day; days; eight days begin thrice.
        assert spans == [(year.HOUR_MS, 2 * 4 * 10 + 2), (year.DAY_MS, 12), (8 * year.DAY_MS, 3)]
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
