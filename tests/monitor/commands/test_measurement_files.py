"""Files of either kind, recognised by what is in them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from msgspec.structs import replace

from monitor.commands.measurement_files import FilesError, is_ooni, read_files
from probes.wire.codec import encode
from tests.monitor.fleet import rounds
from tests.monitor.interop.samples import as_csv, document, query, web_cells

OONI = document(queries=[query("t.me", "149.154.167.99")])
OWN = encode(rounds([0])[0].measurement)


@pytest.mark.parametrize(
    ("raw", "ooni"),
    [
        (json.dumps(OONI).encode(), True),
        (json.dumps(OONI, indent=1).encode(), True),
        (json.dumps([OONI]).encode(), True),
        (json.dumps({"status": 200, "body": json.dumps(OONI)}).encode(), True),
        (json.dumps({"measurement_uid": "u", "raw_measurement": OONI}).encode(), True),
        (json.dumps(OONI | {"padding": "x" * 100_000}).encode(), True),
        (as_csv([web_cells()]), True),
        (OWN + b"\n", False),
        (b"{\nnot json\n", False),
        (b"", False),
        (b"words\n", False),
    ],
)
def test_the_kind_of_a_file(tmp_path: Path, raw: bytes, ooni: bool) -> None:
    plain, packed = tmp_path / "a", tmp_path / "a.gz"
    plain.write_bytes(raw)
    packed.write_bytes(gzip.compress(raw))
    assert is_ooni(str(plain)) is is_ooni(str(packed)) is ooni


def test_both_kinds_together(tmp_path: Path) -> None:
    one, two, three = (tmp_path / name for name in "abc")
    one.write_bytes(OWN)
    two.write_text(json.dumps(OONI))
    three.write_text(json.dumps(document("ndt")))
    read = read_files([str(one), str(two), str(two), str(three)])
    assert sorted((each.source, each.owner) for each in read.stored) == [
        ("ooni", "ooni"),
        ("probe", rounds([0])[0].measurement.probe),
    ]
    (line,) = read.unsupported
    assert line.startswith(f"{three}: OONI's test ndt is not supported")


def test_a_run_of_oonis_in_two_formats_is_one(tmp_path: Path) -> None:
    flat, whole = tmp_path / "a.csv", tmp_path / "a.json"
    flat.write_bytes(as_csv([web_cells()]))
    whole.write_text(json.dumps(document(queries=[query("web.telegram.org", "149.154.167.99")])))
    (first,) = read_files([str(flat), str(whole)]).stored
    assert [first] == read_files([str(flat)]).stored


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    bad, cut = tmp_path / "bad", tmp_path / "cut.gz"
    bad.write_text(json.dumps(OONI) + "\n{}\n")
    cut.write_bytes(b"\x1f\x8b\x08\x00broken")
    with pytest.raises(FilesError) as refused:
        read_files([str(bad), str(cut), str(tmp_path / "none")])
    first, second, third = str(refused.value).splitlines()
    assert first == f"{bad}:2: not an OONI measurement: no test_keys"
    assert second.startswith(f"{cut}: cannot be read on: ")
    assert third == f"{tmp_path}/none: No such file or directory"


def test_same_id_with_other_contents_is_a_fault(tmp_path: Path) -> None:
    first, second = rounds([0])[0].measurement, rounds([1])[0].measurement
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"\n".join([encode(first)] * 2))
    assert len(read_files([str(one)]).stored) == 1
    two.write_bytes(encode(replace(second, id=first.id)))
    with pytest.raises(FilesError, match=r"two:1: id \w+ occurs twice with different contents"):
        read_files([str(one), str(two)])
