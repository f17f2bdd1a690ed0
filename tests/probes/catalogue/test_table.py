from __future__ import annotations

import datetime as dt

import pytest

from probes.catalogue.entries import Provenance
from probes.catalogue.table import Findings, Table
from probes.wire.target import Endpoint


def table(**values: object) -> Table:
    return Table(values, "a.toml", "", Findings())


@pytest.mark.parametrize(
    ("verified", "seen"),
    [
        (dt.datetime(2026, 11, 24, tzinfo=dt.UTC), "a date with a time"),
        ("2026-11-24", "'2026-11-24'"),
        ([], "a list"),
    ],
)
def test_only_a_date_is_a_date(verified: object, seen: str) -> None:
    entry = table(verified=verified)
    assert entry.struct(Provenance).verified is None
    assert entry.findings.faults == [f"a.toml: verified: expected a date (YYYY-MM-DD), got {seen}"]
    assert table(verified=dt.date(2026, 11, 24)).struct(Provenance).verified is not None


def test_unknown_keys_are_noted_in_one_line() -> None:
    entry = table(**{"source": "a", "odd\nkey": 1})
    entry.struct(Provenance)
    entry.close()
    assert entry.findings.unknown == ["a.toml: 'odd\\nkey': unknown key"]


def test_inner_tables_know_their_place() -> None:
    entry = table(target=[{"endpoint": [{"host": 1, "port": 1, "protocol": "tcp"}]}, 2])
    first, *_ = entry.tables("target")
    (inner,) = first.tables("endpoint")
    inner.struct(Endpoint)
    assert entry.findings.faults == [
        "a.toml: target[1]: expected a table, got 2",
        "a.toml: target[0].endpoint[0].host: expected a string, got 1",
    ]


def test_a_list_names_the_place_of_a_bad_member() -> None:
    entry = table(alpn=["h2", 2, ""])
    entry.value("alpn", tuple[str, ...], ())
    assert entry.findings.faults == ["a.toml: alpn[1]: expected a string, got 2"]
