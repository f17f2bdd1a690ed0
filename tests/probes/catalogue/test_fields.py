from __future__ import annotations

import datetime as dt

import pytest

from probes.catalogue.fields import CatalogueError, Findings, Table


def table(**values: object) -> Table:
    return Table(values, "a.toml", "target[0]", Findings())


def test_the_first_fault_is_raised() -> None:
    entry = table(port=70000)
    entry.text("host")
    entry.port()
    with pytest.raises(CatalogueError, match=r"^a\.toml: target\[0\]\.host: is missing$"):
        entry.findings.raise_first()
    assert entry.findings.faults[1] == "a.toml: target[0].port: expected 1..65535, got 70000"


def test_no_fault_raises_nothing() -> None:
    table().findings.raise_first()


@pytest.mark.parametrize("port", [True, "443", 443.0, [443], 0, -1])
def test_a_port_is_a_whole_number_and_nothing_else(port: object) -> None:
    entry = table(port=port)
    entry.port()
    assert len(entry.findings.faults) == 1


def test_a_date_with_a_time_is_no_date() -> None:
    entry = table(verified=dt.datetime(2026, 11, 24, tzinfo=dt.UTC), other=dt.date(2026, 11, 24))
    assert entry.date("verified") is None
    assert entry.date("other") == dt.date(2026, 11, 24)
    assert entry.findings.faults == [
        "a.toml: target[0].verified: expected a date (YYYY-MM-DD), got a date with a time"
    ]


def test_keys_nobody_asked_for_are_unknown_and_shown_in_one_line() -> None:
    entry = table(**{"host": "a", "odd\nkey": 1})
    entry.text("host")
    entry.close()
    assert entry.findings.unknown == ["a.toml: target[0].'odd\\nkey': unknown key"]


def test_inner_tables_know_their_place() -> None:
    entry = table(endpoint=[{"host": 1}, 2])
    (inner,) = entry.tables("endpoint", at_least=1)
    inner.text("host")
    assert entry.findings.faults == [
        "a.toml: target[0].endpoint[1]: expected a table, got 2",
        "a.toml: target[0].endpoint[0].host: expected a string, got 1",
    ]


def test_a_list_names_the_place_of_a_bad_member() -> None:
    entry = table(alpn=["h2", 2, ""])
    assert entry.texts("alpn", lambda value: value.upper()) == ("H2", "")
    assert entry.findings.faults == ["a.toml: target[0].alpn[1]: expected a string, got 2"]
