"""`import ooni`: into a store, once; bad rows told, the rest kept."""

from __future__ import annotations

import argparse
import gzip
import io
import json
from pathlib import Path

import pytest

from monitor.interop import importing
from monitor.store.database import open_database
from tests.monitor.interop.samples import (
    DC,
    as_csv,
    cells,
    dc_cells,
    document,
    query,
    targets_by_name,
    web_cells,
)


def rows(number: int) -> list[dict[str, str]]:
    own = {"report_id": f"r{number}", "measurement_uid": f"u{number}"}
    return [web_cells(**own), *(dc_cells(address, **own) for address in DC)]


def url(folder: Path) -> str:
    return f"sqlite+aiosqlite:///{folder}/store.sqlite"


async def taken(folder: Path, *files: Path) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    given = argparse.Namespace(
        files=[str(each) for each in files], catalogue=None, database=url(folder), data=None
    )
    status = await importing.run(given, out, err)
    return status, out.getvalue(), err.getvalue()


async def test_the_same_file_again_adds_nothing(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(as_csv([*rows(1), *rows(2)]))
    status, out, err = await taken(tmp_path, file)
    assert (status, err) == (0, "")
    summary, hint = out.splitlines()
    assert summary == "8 observations in 2 runs: 4 measurements new, 0 known"
    assert "reachwatch detect" in hint
    assert (await taken(tmp_path, file, file))[1].endswith("0 measurements new, 8 known\n")
    database = await open_database(url(tmp_path))
    try:
        stored = await database.facts.facts(0, 2**60, "telegram")
    finally:
        await database.close()
    assert {(each.source, each.owner) for each in stored} == {("ooni", "ooni")}
    assert len(stored) == 4


async def test_bad_rows_are_named_and_counted_and_the_rest_goes_in(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(as_csv([*rows(1), dc_cells("nowhere"), *rows(2)]))
    status, out, err = await taken(tmp_path, file)
    assert status == 2
    assert err == f"reachwatch: {file}:6: ip: 'nowhere' is not an address\n"
    assert out.startswith("8 observations in 2 runs: 4 measurements new")
    assert "1 refused" in out


async def test_the_same_run_in_another_form_stays_what_it_was(tmp_path: Path) -> None:
    flat, whole = tmp_path / "a.csv", tmp_path / "a.json"
    flat.write_bytes(as_csv([web_cells()]))
    whole.write_text(json.dumps(document(queries=[query("web.telegram.org", "149.154.167.99")])))
    assert (await taken(tmp_path, flat))[0] == 0
    status, out, _ = await taken(tmp_path, whole)
    assert (status, "1 known with different contents" in out) == (0, True)


async def test_runs_of_other_sites_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    other = cells(hostname="www.example.org", dns_engine="system", dns_answer="192.0.2.1")
    file.write_bytes(as_csv([other]))
    status, out, _ = await taken(tmp_path, file)
    assert (status, "1 runs for no service in the catalogue" in out) == (0, True)


async def test_tests_that_are_not_read_are_named_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat, whole = tmp_path / "a.csv", tmp_path / "a.jsonl"
    flat.write_bytes(as_csv([*rows(1), cells(test_name="ndt", report_id="other")]))
    names = ("ndt", "dash", "tor", "web_connectivity")
    whole.write_text("".join(json.dumps(document(name)) + "\n" for name in names))
    status, out, err = await taken(tmp_path, flat, whole)
    assert (status, err) == (0, "")
    assert "runs of tests that are not supported: dash 1, ndt 2, tor 1" in out
    monkeypatch.setattr(importing, "MAX_TESTS", 1)
    assert "not supported: ndt 2, others 2" in (await taken(tmp_path, flat, whole))[1]


async def test_many_refusals_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_REPORTED", 3)
    file = tmp_path / "a.csv"
    file.write_bytes(as_csv([dc_cells("nowhere")] * 10))
    _, _, err = await taken(tmp_path, file)
    assert len(err.splitlines()) == 4
    assert err.endswith("and 7 more refused\n")


async def test_files_that_cannot_be_read_are_one_line_each(tmp_path: Path) -> None:
    good, cut = tmp_path / "good.csv", tmp_path / "cut.gz"
    good.write_bytes(as_csv(rows(1)))
    cut.write_bytes(b"\x1f\x8b\x08\x00broken")
    rotten = tmp_path / "rotten.gz"
    rotten.write_bytes(gzip.compress(b"")[:10] + b"\xff" * 40)
    status, out, err = await taken(tmp_path, tmp_path / "none", cut, rotten, good)
    assert status == 2
    assert len(err.splitlines()) == 3
    assert "rotten.gz:1: cannot be read any further: " in err
    assert "2 measurements new" in out


async def test_a_bad_database_is_one_line(tmp_path: Path) -> None:
    given = argparse.Namespace(files=["-"], catalogue=None, database="nonsense", data=None)
    err = io.StringIO()
    assert await importing.run(given, io.StringIO(), err) == 2
    assert len(err.getvalue().splitlines()) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


async def test_progress_is_shown_on_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(as_csv(rows(1)))
    database = await open_database(url(tmp_path))
    err = Terminal()
    try:
        await importing.Importer(database, targets_by_name(), err).file(str(file))
    finally:
        await database.close()
    assert "line" in err.getvalue()
    assert "4 observations in 1 runs" in err.getvalue()
