"""`export`: filters, streams, and what other programs read."""

from __future__ import annotations

import argparse
import csv
import io
import re
from pathlib import Path

import pytest

from monitor.interop import exporting, importing, parquet
from monitor.interop.flat import COLUMNS
from monitor.store.database import open_database
from tests.monitor.interop.test_importing import as_csv, rows, taken, url


async def exported(folder: Path, form: str, **filters: object) -> tuple[int, bytes, str]:
    values: dict[str, object] = dict.fromkeys(
        ("service", "target", "country", "asn", "since", "until", "output", "data", "archive")
    )
    given = argparse.Namespace(
        **values | {"command": f"export {form}", "database": url(folder), "without": ()} | filters
    )
    out, err = io.BytesIO(), io.StringIO()
    status = await exporting.run(given, out, err)
    return status, out.getvalue(), err.getvalue()


async def filled(folder: Path) -> None:
    file = folder / "a.csv"
    file.write_bytes(as_csv([*rows(1), *rows(2)]))
    assert (await taken(folder, file))[0] == 0


async def test_data_of_others_are_named_with_their_licence_and_can_be_left_out(
    tmp_path: Path,
) -> None:
    await filled(tmp_path)
    _, lines, told = await exported(tmp_path, "ooni")
    assert "with data of OONI: CC BY-NC-SA 4.0" in told
    status, left, told = await exported(tmp_path, "ooni", without=("ooni",))
    assert (status, len(lines) > 0, left) == (0, True, b"")
    assert "OONI:" not in told


async def test_an_export_imports_to_the_same_observations(tmp_path: Path) -> None:
    await filled(tmp_path)
    status, lines, _ = await exported(tmp_path, "ooni")
    assert (status, lines.count(b"\n")) == (0, 4)
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.jsonl").write_bytes(lines)
    assert (await taken(other, other / "a.jsonl"))[0] == 0
    seen = []
    for folder in (tmp_path, other):
        database = await open_database(url(folder))
        try:
            stored = await database.facts.facts(0, 2**60, "telegram")
        finally:
            await database.close()
        seen.append(sorted(repr(each.measurement.observations) for each in stored))
    assert seen[0] == seen[1]


async def test_an_export_is_no_second_witness_where_it_came_from(tmp_path: Path) -> None:
    await filled(tmp_path)
    _, lines, told = await exported(tmp_path, "ooni")
    (tmp_path / "own.jsonl").write_bytes(lines)
    status, said, _ = await taken(tmp_path, tmp_path / "own.jsonl")
    assert status == 0
    assert "0 measurements new" in said
    assert await exported(tmp_path, "ooni") == (0, lines, told)
    # An export of before has no id in its frame: such a measurement gets one of its own.
    (tmp_path / "old.jsonl").write_bytes(
        re.sub(rb'("x_reachwatch_frame":{)"id":"\w+",', rb"\1", lines)
    )
    assert "4 measurements new" in (await taken(tmp_path, tmp_path / "old.jsonl"))[1]


async def test_csv_has_oonis_columns_and_imports_again(tmp_path: Path) -> None:
    await filled(tmp_path)
    _, text, _ = await exported(tmp_path, "csv", target="telegram/dc")
    read = list(csv.DictReader(io.StringIO(text.decode())))
    assert tuple(read[0]) == COLUMNS
    assert {(each["input"], each["tcp_success"]) for each in read} == {("telegram/dc", "1")}
    assert len(read) == 6
    (tmp_path / "again.csv").write_bytes(text)
    assert (await taken(tmp_path, tmp_path / "again.csv"))[1].startswith("6 observations in 2 runs")


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        ({"service": "telegram"}, 4),
        ({"service": "wechat"}, 0),
        ({"target": "telegram/web"}, 2),
        ({"country": "KE", "asn": 64500}, 4),
        ({"country": "TZ"}, 0),
        ({"asn": 64501}, 0),
        ({"since": 1_767_225_600_000, "until": 1_767_225_600_000}, 4),
        ({"since": 1_767_225_600_001}, 0),
        ({"until": 1_767_225_599_999}, 0),
    ],
)
async def test_filters(tmp_path: Path, filters: dict[str, object], left: int) -> None:
    await filled(tmp_path)
    _, lines, _ = await exported(tmp_path, "ooni", **filters)
    assert lines.count(b"\n") == left


async def test_nothing_found_is_said_with_the_nearest_service(tmp_path: Path) -> None:
    await filled(tmp_path)
    for slip in ({"service": "telegran"}, {"target": "telegran/dc"}):
        status, lines, said = await exported(tmp_path, "ooni", **slip)
        assert (status, lines) == (0, b"")
        assert said == "reachwatch: no stored measurement matches; did you mean telegram?\n"
    _, _, said = await exported(tmp_path, "ooni", service="telegram", country="AQ")
    assert said == "reachwatch: no stored measurement matches\n"


async def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    await filled(tmp_path)
    status, _, err = await exported(tmp_path, "csv", output=tmp_path / "none" / "x")
    assert (status, err.count("\n")) == (2, 1)
    target = tmp_path / "x.csv"
    status, _, err = await exported(tmp_path, "csv", output=target)
    assert (status, err.splitlines()[0]) == (0, "4 measurements")
    assert target.read_bytes().count(b"\n") > 4


async def test_parquet_reads_back(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow.parquet")
    await filled(tmp_path)
    target = tmp_path / "x.parquet"
    assert (await exported(tmp_path, "parquet", output=target))[0] == 0
    table = arrow.read_table(target)
    assert table.num_rows == 12
    assert set(table.column("probe_cc").to_pylist()) == {"KE"}


async def test_parquet_without_pyarrow_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await filled(tmp_path)

    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(parquet.importlib, "import_module", missing)
    status, out, err = await exported(tmp_path, "parquet")
    assert (status, out) == (2, b"")
    assert err == "reachwatch: export parquet needs pyarrow: pip install 'reachwatch[parquet]'\n"


async def test_a_bad_store_is_one_line(tmp_path: Path) -> None:
    assert importing.BATCH > 0
    status, out, err = await exported(tmp_path, "ooni", database="nonsense")
    assert (status, out, err.count("\n")) == (2, b"", 1)
