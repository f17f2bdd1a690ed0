"""`reachwatch compare ooni` over files and over a store."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.compare import run
from monitor.commands.options import build
from tests.monitor.interop.samples import DC, connect, document, query

TIMEOUT = "generic_timeout_error"


def telegram(failing: int, blocked: bool, **more: Any) -> dict[str, Any]:
    """A run at three data centres, and what OONI's test concluded."""
    tried = [connect(a, 443, TIMEOUT if n < failing else None) for n, a in enumerate(DC)]
    web = query("web.telegram.org", "149.154.167.99")
    flags = {"telegram_tcp_blocking": blocked, "telegram_http_blocking": False}
    return document(tcp_connect=tried, queries=[web], **flags) | more


RUNS = [
    telegram(0, False, report_id="r1"),
    telegram(2, False, report_id="r2", probe_cc="UG"),
    telegram(3, True, report_id="r3", measurement_start_time="2026-01-02 00:00:00"),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in RUNS))
    return path


def compared(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    given = build().read(["compare", "ooni", *map(str, words)], {})
    return asyncio.run(run(given, out, err)), out.getvalue(), err.getvalue()


def rows(*words: object) -> list[dict[str, Any]]:
    status, out, err = compared("--format", "jsonl", *words)
    assert (status, err) == (0, "")
    return [json.loads(line) for line in out.splitlines()]


def places(found: Sequence[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["report_id"], row["agreement"]) for row in found if row["function"] != "web"]


def test_a_row_for_each_function_of_each_run(file: Path) -> None:
    found = rows(file)
    assert places(found) == [("r1", "neither"), ("r2", "ours_alone"), ("r3", "both")]
    assert found[2]["reason"] == "half_failed"
    assert (found[2]["country"], found[2]["asn"], found[2]["endpoints"]) == ("UG", 64500, ["2/3"])
    assert found[4]["flags"] == {"telegram_tcp_blocking": True, "telegram_http_blocking": False}
    assert len(found) == 6


@pytest.mark.parametrize(
    ("words", "reports"),
    [
        (("--since", "2026-01-02"), ["r3"]),
        (("--until", "2026-01-02"), ["r1", "r2"]),
        (("--since", "2026-01-01T00:00:04Z", "--until", "2026-01-02"), []),
        (("--countries", "UG"), ["r2"]),
        (("--tests", "signal"), []),
    ],
)
def test_a_part_of_the_runs(file: Path, words: tuple[str, ...], reports: list[str]) -> None:
    assert [report for report, _ in places(rows(*words, file))] == reports


def test_the_store_gives_the_same_rows_as_the_file(file: Path, tmp_path: Path) -> None:
    from monitor.interop import importing

    given = build().read(["import", "ooni", "--data", str(tmp_path), str(file)], {})
    assert asyncio.run(importing.run(given, io.StringIO(), io.StringIO())) == 0
    assert rows("--data", tmp_path) == rows(file)
    part = ("--since", "2026-01-01T00:00:02Z", "--until", "2026-01-02")
    assert rows("--data", tmp_path, *part) == rows(*part, file)


def test_csv_has_the_same_values(file: Path) -> None:
    _, out, _ = compared("--format", "csv", file)
    table = list(csv.DictReader(io.StringIO(out)))
    assert [row["agreement"] for row in table] == [row["agreement"] for row in rows(file)]
    assert table[4]["flags"] == "telegram_tcp_blocking=true telegram_http_blocking=false"


def test_a_summary_is_by_test_country_and_reason(file: Path) -> None:
    counts = {tuple(row.values()) for row in rows("--summary", file)}
    assert ("telegram", "UG", "ours_alone", "half_failed", 1) in counts
    assert sum(count for *_, count in counts) == 6
    _, out, _ = compared("--summary", "--format", "csv", file)
    assert out.splitlines()[0] == "test,country,agreement,reason,count"


def test_people_get_reasons_with_examples_and_a_table(file: Path) -> None:
    status, out, _ = compared(file)
    assert status == 0
    assert "We say that it fails, OONI does not: 1\n  1  half_failed: Half or more" in out
    assert "UG AS64500  telegram  telegram_tcp_blocking=false" in out
    assert "TEST      COUNTRY  BOTH FAIL  NEITHER  WE ALONE  OONI ALONE  NO FLAG\n" in out
    assert "telegram  all      1          1        1         0           3\n" in out


def test_what_cannot_be_read_is_named_and_the_rest_is_compared(file: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.jsonl"
    odd.write_text(json.dumps(RUNS[0]) + "\n{\n")
    status, out, err = compared(odd, tmp_path / "nowhere", file)
    assert status == 2
    assert err.count("\n") == 2
    assert "odd.jsonl:2: not JSON" in err
    assert "nowhere: No such file" in err
    assert "telegram  KE       1          2" in out


def test_nothing_is_said_to_be_nothing(tmp_path: Path) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text(json.dumps(document("ndt")) + "\n")
    assert compared(other)[1] == "no run of OONI's messenger or web tests was found\n"
