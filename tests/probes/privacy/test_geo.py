from __future__ import annotations

import gzip
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.privacy.geo import update
from probes.runtime.geo_table import FILE_NAME, GeoError, GeoTable, Location, Origin

TSV = """\
1.0.0.0\t1.0.0.255\t13335\tUS\tCLOUDFLARENET
1.0.1.0\t1.0.3.255\t0\tNone\tNot routed
5.0.0.0\t5.0.0.0\t4294967295\tru\tone address
2001:db8::\t2001:db8:0:ffff:ffff:ffff:ffff:ffff\tAS64501\tFR\tx
255.255.255.0\t255.255.255.255\t7\tDE\tlast
::\t::1\t9\tUnknown\tfirst
"""


def table(tmp_path, text: str | bytes, name: str = "table.tsv") -> GeoTable:
    source = tmp_path / name
    source.write_bytes(text.encode() if isinstance(text, str) else text)
    update(source, tmp_path / "state")
    return GeoTable(tmp_path / "state" / FILE_NAME)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("1.0.0.0", Location("US", 13335)),
        ("1.0.0.255", Location("US", 13335)),
        ("::ffff:1.0.0.7", Location("US", 13335)),
        ("1.0.2.0", Location("ZZ", 0)),
        ("5.0.0.0", Location("RU", 4294967295)),
        ("255.255.255.255", Location("DE", 7)),
        ("2001:db8::1", Location("FR", 64501)),
        ("2001:db8::1%eth0", Location("FR", 64501)),
        ("::1", Location("ZZ", 9)),
        ("0.0.0.0", None),
        ("1.0.4.0", None),
        ("5.0.0.1", None),
        ("2001:db8:1::", None),
        ("no address", None),
        ("", None),
    ],
)
def test_lookup(tmp_path, address, place):
    with table(tmp_path, TSV) as made:
        assert made.lookup(address) == place


def test_gzip_csv_header_and_quotes_give_the_same(tmp_path):
    text = "\ufeffrange_start,range_end,asn,country,name\r\n" + "".join(
        ",".join(f'"{cell}"' for cell in line.split("\t")) + "\r\n" for line in TSV.splitlines()
    )
    with table(tmp_path, gzip.compress(text.encode()), "t.csv.gz") as made:
        assert made.lookup("1.0.0.9") == Location("US", 13335)
        assert made.lookup("2001:db8::9") == Location("FR", 64501)


def test_version_is_that_of_the_source(tmp_path):
    source = tmp_path / "t.tsv"
    source.write_text(TSV)
    summary = update(source, tmp_path)
    assert (summary.rows_v4, summary.rows_v6) == (4, 2)
    with GeoTable(tmp_path / FILE_NAME) as made:
        assert made.version == summary.version
        assert made.origin == summary.origin == Origin(), "the source says nothing of itself"
        assert len(made.version) == 12
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("1.2.3.4\t1.2.3.5\t1", "3 columns, not start, end, asn, country"),
        ("16777216\t16777471\t1\tUS", "'16777216' is not an IP address"),
        ("1.2.3.4\t::1\t1\tUS", "1.2.3.4 and ::1 are of two families"),
        ("1.2.3.5\t1.2.3.4\t1\tUS", "1.2.3.5 is after 1.2.3.4"),
        ("1.2.3.4\t1.2.3.5\tx\tUS", "'x' is not an AS number"),
        ("1.2.3.4\t1.2.3.5\t4294967296\tUS", "'4294967296' is not an AS number"),
        ("1.2.3.4\t1.2.3.5\t1\tUSA", "'USA' is not a two-letter country code"),
        ("fe80::1%e\tfe80::2%e\t1\tUS", "'fe80::1%e' has a zone"),
        ("1.0.0.128\t1.0.0.130\t1\tUS", "overlaps line 1"),
        ("x" * 5000, "longer than 4096 bytes"),
        ("\x00\t\x1b\t1\tUS", r"'\x00' is not an IP address"),
    ],
)
def test_bad_row_names_file_line_and_reason(tmp_path, row, reason):
    source = tmp_path / "bad.tsv"
    source.write_text(TSV + row + "\n")
    with pytest.raises(GeoError) as caught:
        update(source, tmp_path)
    assert str(caught.value) == f"{source}:7: {reason}"
    assert not (tmp_path / FILE_NAME).exists()


def test_bad_file_leaves_the_old_table(tmp_path):
    table(tmp_path, TSV).close()
    for broken in (b"", b"# nothing\n\n", gzip.compress(TSV.encode())[:-9], b"\x1f\x8bjunk"):
        (tmp_path / "broken").write_bytes(broken)
        with pytest.raises(GeoError, match="broken: "):
            update(tmp_path / "broken", tmp_path / "state")
    with pytest.raises(GeoError, match="missing: No such file"):
        update(tmp_path / "missing", tmp_path / "state")
    with GeoTable(tmp_path / "state" / FILE_NAME) as made:
        assert made.lookup("1.0.0.0") == Location("US", 13335)


@pytest.mark.parametrize("content", [b"", b"x", b"RWGEO1\0\0" + bytes(40), bytes(100)])
def test_damaged_table(tmp_path, content):
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    with pytest.raises(GeoError, match=r"geo\.table: "):
        GeoTable(path)
    with pytest.raises(GeoError):
        GeoTable(tmp_path / "none")
    table(tmp_path, TSV).close()
    whole = (tmp_path / "state" / FILE_NAME).read_bytes()
    for damaged in (whole[:-1], whole + b"{", whole + b'{"made":"lately"}'):
        path.write_bytes(damaged)
        with pytest.raises(GeoError, match="not a table of this version"):
            GeoTable(path)


@given(st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=40, unique=True), st.data())
def test_agrees_with_a_plain_search(tmp_path_factory, edges, data):
    edges = sorted(edges[: len(edges) // 2 * 2])
    ranges = list(zip(edges[::2], edges[1::2], strict=True))
    text = "".join(
        f"{ipaddress.ip_address(a)}\t{ipaddress.ip_address(b)}\t{i}\tUS\n"
        for i, (a, b) in enumerate(ranges)
    )
    folder = tmp_path_factory.mktemp("geo")
    with table(folder, text) as made:
        for asked in (*edges, data.draw(st.integers(0, 2**32 - 1))):
            expected = [Location("US", i) for i, (a, b) in enumerate(ranges) if a <= asked <= b]
            found = made.lookup(str(ipaddress.ip_address(asked)))
            assert [found] == (expected or [None])
