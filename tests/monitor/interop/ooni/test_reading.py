"""Whole files: what kind they are, which rows are refused, and that order does not matter."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from monitor.interop.ooni.reading import ImportedRun, Refusal, read
from tests.monitor.interop.samples import (
    DC,
    as_csv,
    cells,
    connect,
    dc_cells,
    document,
    query,
    targets_by_name,
    web_cells,
)


def items(raw: bytes) -> list[ImportedRun | Refusal]:
    @contextmanager
    def again() -> Iterator[io.BufferedReader]:
        yield io.BufferedReader(io.BytesIO(raw))

    return [
        each for each in read(again, targets_by_name()) if isinstance(each, ImportedRun | Refusal)
    ]


def found(raw: bytes) -> set[bytes]:
    return {line for item in items(raw) if isinstance(item, ImportedRun) for _, line in item.found}


def run(number: int) -> list[dict[str, str]]:
    own = {"report_id": f"r{number}", "measurement_uid": f"u{number}"}
    return [web_cells(**own), *(dc_cells(address, **own) for address in DC)]


def test_rows_of_one_measurement_may_lie_anywhere() -> None:
    rows = [each for number in range(5) for each in run(number)]
    wanted = found(as_csv(rows))
    assert len(wanted) == 10
    random.Random(3).shuffle(rows)
    assert found(as_csv([*rows, *rows])) == wanted


def test_bad_rows_are_refused_one_by_one_with_their_lines() -> None:
    good = as_csv([*run(1), dc_cells("nowhere"), *run(2)]).splitlines(keepends=True)
    raw = b"".join([*good, b"1,2,3\n", b'"never closed'])
    told = [item for item in items(raw) if isinstance(item, Refusal)]
    assert [item.line for item in told] == [6, 11, 12]
    assert told[0].reason == "ip: 'nowhere' is not an address"
    assert told[1].reason == "3 columns in place of 51"
    assert len(found(raw)) == 4


def test_bytes_that_are_no_text_do_not_end_the_file() -> None:
    raw = as_csv([*run(1), *run(2)]).replace(b"wifi", b"w\xff\x00i", 1)
    assert len(found(raw)) == 4


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "empty file"),
        (b" \n", "empty file"),
        (b"a,b\n1,2\n", "(CSV): its first line names no column of obs_web"),
        (b"{", "not JSON"),
        (b"[1]", "not an OONI measurement"),
        (b"\x00\x01\x02", "neither OONI's JSON nor OONI observations (CSV): not UTF-8"),
        ("input,ip".encode("utf-16"), "(CSV): not UTF-8"),
        (b"input,ip\n", "not OONI observations: no column dns_answer, "),
        (b"\xff\xfe\n", "(CSV): not UTF-8"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_other_files_say_what_they_are_not(raw: bytes, reason: str) -> None:
    (only,) = items(raw)
    assert isinstance(only, Refusal)
    assert reason in only.reason


def test_json_in_every_shape() -> None:
    one = document(queries=[query("t.me", "149.154.167.99")])
    two = document(tcp_connect=[connect(DC[0], 80)]) | {"report_id": "other"}
    lines = b"".join(json.dumps(each).encode() + b"\n" for each in (one, two))
    wanted = found(lines)
    assert len(wanted) == 2
    assert found(json.dumps([one, two], indent=1).encode()) == wanted
    assert found(b"\n" + lines.replace(b"\n", b"\r\n\n")) == wanted
    wrapped = {"status": 200, "contentType": "application/json", "body": json.dumps(one)}
    assert found(json.dumps(wrapped, indent=2).encode()) < wanted


def test_bad_lines_of_json_are_refused_one_by_one() -> None:
    one = json.dumps(document(queries=[query("t.me", "149.154.167.99")])).encode()
    raw = b"\n".join([one, b"{oops", b'{"test_keys": {}}', one])
    told = [(each.line, each.reason) for each in items(raw) if isinstance(each, Refusal)]
    assert [line for line, _ in told] == [2, 3]
    assert told[0][1].startswith("not JSON")
    first = b"\n".join([b"{oops", b"", one])
    assert [each.line for each in items(first)] == [1, 3]


def test_a_bad_first_line_costs_nothing_of_a_long_file(monkeypatch: pytest.MonkeyPatch) -> None:
    one = json.dumps(document(queries=[query("t.me", "149.154.167.99")])).encode()
    raw = b"\n".join([b"{oops", *[one] * 9])
    monkeypatch.setattr("monitor.interop.ooni.reading._LONGEST_DOCUMENT", 3 * len(one))
    assert [each.line for each in items(raw) if not isinstance(each, Refusal)] == [*range(2, 11)]


def test_lines_that_are_nested_or_long_without_end_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = json.dumps(document(queries=[query("t.me", "149.154.167.99")])).encode()
    monkeypatch.setattr("monitor.interop.ooni.reading._LONGEST_LINE", len(one) + 1)
    raw = b"\n".join([one, b'{"a":' * 100_000, b"[" * 100, one, b" " * (len(one) + 1), one])
    told = items(raw)
    refused = [(each.line, each.reason[:8]) for each in told if isinstance(each, Refusal)]
    assert refused == [(2, "a line o"), (3, "not JSON"), (5, "a line o")]
    assert [each.line for each in told if not isinstance(each, Refusal)] == [1, 4, 6]
    (wrapped,) = items(json.dumps({"body": "[" * 100_000}).encode())
    assert isinstance(wrapped, Refusal)
    assert wrapped.reason.startswith("body: ")


def test_what_the_wire_does_not_take_is_refused_and_not_stored() -> None:
    long = document(queries=[query("t.me", "149.154.167.99", ttl="x")])
    long["test_keys"]["queries"][0]["query_type"] = "A" * 60
    long["test_keys"]["queries"] *= 2040
    assert found(json.dumps(long).encode())
    bad = document(tcp_connect=[connect("fe80::1%eth0/" + "x" * 80, 80)])
    assert found(json.dumps(bad).encode()) == set()
    far = document(queries=[query("t.me", "149.154.167.99")])
    far["measurement_start_time"] = "9999-01-01 00:00:00"
    (only,) = items(json.dumps(far).encode())
    assert isinstance(only, Refusal)
    assert "telegram/links" in only.reason


def test_runs_of_other_sites_are_counted_and_empty() -> None:
    other = cells(hostname="www.example.org", dns_engine="system", dns_answer="192.0.2.1")
    (only,) = items(as_csv([other, other]))
    assert isinstance(only, ImportedRun)
    assert (only.found, only.rows) == ((), 2)
