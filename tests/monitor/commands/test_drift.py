"""`reachwatch catalogue drift` over files and over a store."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from monitor.commands.drift import run
from monitor.commands.options import build
from monitor.interop import importing
from tests.monitor.interop.samples import DC, connect, document, handshake

TIMEOUT = "generic_timeout_error"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Runs of three countries: one data centre works nowhere, and a name is new."""
    path, lines = tmp_path / "runs.jsonl", []
    for number, country in enumerate(("KE", "UG", "BR")):
        keys: dict[str, Any] = {"tcp_connect": [connect(DC[0], 443), connect(DC[1], 443, TIMEOUT)]}
        keys["tls_handshakes"] = [handshake("new.telegram.example", "203.0.114.9")]
        lines.append(document(**keys) | {"probe_cc": country, "report_id": f"r{number}"})
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def drift(*words: object) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    given = build().read(["catalogue", "drift", *map(str, words)], {})
    return asyncio.run(run(given, out, err)), out.getvalue(), err.getvalue()


def test_people_read_what_matters_first(file: Path) -> None:
    status, out, _ = drift(file)
    assert status == 0
    lines = out.splitlines()
    assert lines[2].startswith("works_nowhere (1): In the catalogue, and works in no country")
    assert lines[4].split()[:4] == [f"{DC[1]}:443/tcp", "telegram/dc", "0/3", "-"]
    assert "new.telegram.example:443/tcp  -       3/3   -" in out
    assert "works (1): " in out
    assert f"{DC[0]}:443/tcp" not in out
    assert "services that OONI's messenger tests do not measure" in lines[-1]


def test_rows_hold_every_endpoint(file: Path) -> None:
    rows = {row["endpoint"]: row for row in map(json.loads, _lines("jsonl", file))}
    dead = rows[f"{DC[1]}:443/tcp"]
    assert (dead["remark"], dead["countries"], dead["works_in"]) == ("works_nowhere", 3, 0)
    assert (dead["last_worked"], dead["contacted_by"]) == ("", ["telegram 0.3.1"])
    assert rows[f"{DC[0]}:443/tcp"]["last_worked"] == "2026-01-01T00:00:03Z"
    assert rows["new.telegram.example:443/tcp"]["target"] == ""
    table = csv.DictReader(_lines("csv", file))
    assert {row["endpoint"]: row["remark"] for row in table} == {
        endpoint: row["remark"] for endpoint, row in rows.items()
    }


def _lines(form: str, *words: object) -> list[str]:
    status, out, err = drift("--format", form, *words)
    assert (status, err) == (0, "")
    return out.splitlines()


def test_a_store_keeps_only_what_belongs_to_the_catalogue(file: Path, tmp_path: Path) -> None:
    given = build().read(["import", "ooni", "--data", str(tmp_path), str(file)], {})
    assert asyncio.run(importing.run(given, io.StringIO(), io.StringIO())) == 0
    there = [json.loads(line) for line in _lines("jsonl", "--data", tmp_path)]
    assert {row["endpoint"] for row in there} | {"new.telegram.example:443/tcp"} == {
        json.loads(line)["endpoint"] for line in _lines("jsonl", file)
    }
    assert drift("--data", tmp_path, "--since", "2026-01-02")[1] == "no measurement was found\n"


def test_what_cannot_be_read_is_named(file: Path, tmp_path: Path) -> None:
    status, out, err = drift(tmp_path / "nowhere", file)
    assert (status, "works_nowhere" in out) == (2, True)
    assert "nowhere: No such file" in err
