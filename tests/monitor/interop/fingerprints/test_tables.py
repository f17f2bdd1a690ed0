"""Published lists and hostile ones: what is taken, skipped and refused, with its place."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.detection.fingerprints import Fingerprints
from monitor.interop.fingerprints import tables
from tests.monitor.interop.fingerprints.samples import (
    LAB_DNS,
    LAB_HTTP,
    OONI_DNS,
    OONI_HEAD,
    OONI_HTTP,
    row,
)


def test_oonis_http_list() -> None:
    table = tables.read("f.csv", OONI_HTTP)
    assert table.faults == []
    assert table.origin == "ooni"
    assert table.skipped == ["f.csv:4: ooni.be_1: 'header.via' is not recorded by probes"]
    taken = {one.id: one for one in table.entries}
    assert taken["ooni.ae_0"].countries == ("AE", "SA")
    assert taken["ooni.fr_0"].pattern == 'xtpage = "page-blocage-terrorisme"'
    assert {"cp.e_unk_id_blocked", "cp.e_unk_id_blocked#2"} <= taken.keys()
    assert taken["cp.two_lines"].pattern == "first\nsecond"
    assert Fingerprints(table.entries).size == 8


def test_oonis_dns_list() -> None:
    table = tables.read("f.csv", OONI_DNS)
    assert (table.faults, table.skipped) == ([], [])
    known = Fingerprints(table.entries)
    assert known.answer("134.17.0.7", "BY") == "ooni.by_4"
    assert known.answer("blockpage.xl.co.id", "ID") == "id.xl.alias"
    # Of no scope, or a convention: a family filter is no censor.
    assert known.answer("185.228.168.254", "DE") is None
    assert known.answer("0.0.0.0", "DE") is None
    assert next(one for one in table.entries if one.id == "ooni.zz_4").countries == ()


def test_the_citizen_labs_lists() -> None:
    table = tables.read("http.csv", LAB_HTTP)
    assert (table.origin, table.faults, table.skipped) == ("citizenlab", [], [])
    taken = {one.id: one for one in table.entries}
    moved = taken["cl.isp_by_mts_forward"]
    assert (moved.where, moved.how, moved.countries) == ("header.location", "contains", ("BY",))
    assert moved.source == "https://mts.by/"
    server = taken["cl.prod_x"]
    assert (server.where, server.how, server.pattern) == ("header.server", "prefix", "Stopper")
    assert taken["cl.isp_x"].pattern == "http://stop.example/"
    assert taken["cl.isp_x"].countries == ("MY", "TH")
    table = tables.read("dns.csv", LAB_DNS)
    assert (table.origin, table.faults) == ("citizenlab", [])
    assert Fingerprints(table.entries).answer("64.59.135.158", "CA") == ("cl.dns_isp_ca_shaw_block")


def test_what_is_written_reads_the_same() -> None:
    for raw in (OONI_HTTP, OONI_DNS, LAB_HTTP, LAB_DNS):
        entries = tables.read("f.csv", raw).entries
        written = tables.write(reversed(entries))
        again = tables.read("g.csv", written)
        assert (again.faults, again.skipped) == ([], [])
        assert sorted(again.entries) == sorted(entries)
        assert tables.write(again.entries) == written


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "f.csv:1: columns '': no known list"),
        (b"a,b\n1,2\n", "f.csv:1: columns 'a,b': no known list"),
        (OONI_HEAD + b"x,y\n", "f.csv:2: 2 fields, must be 11"),
        (OONI_HEAD + b'x,"y\n', "f.csv:2: unexpected end of data"),
        (OONI_HEAD + b"\xff\xfe\n", "f.csv:2: not UTF-8"),
        (row(scope="world"), "f.csv:2: scope: 'world': must be one of"),
        (row(name="../../etc"), "f.csv:2: name: '../../etc'"),
        (row(name="x\x1b[2J"), r"f.csv:2: name: 'x\x1b[2J'"),
        (row(pattern=""), "f.csv:2: pattern: empty"),
        (row(pattern="a" * 2000), "f.csv:2: pattern: 2000 characters, at most 1024"),
        (row(pattern_type="glob"), "f.csv:2: pattern_type: 'glob'"),
        (row(location_found="footer"), "f.csv:2: location_found: 'footer'"),
        (row(expected_countries="RU,Narnia"), "f.csv:2: expected_countries: 'Narnia'"),
        (row(notes="n" * 200_000), "f.csv:2: field larger than field limit"),
        (b"x" * (tables.MAX_BYTES + 1), "f.csv: 8388609 bytes, at most"),
        (row(scope="\n\nworld"), "f.csv:2: scope: '\\n\\nworld'"),
    ],
)
def test_a_malformed_file_says_where_and_why(raw: bytes, said: str) -> None:
    table = tables.read("f.csv", raw)
    assert [fault[: len(said)] for fault in table.faults] == [said]
    assert all(fault.isprintable() for fault in table.faults)
    assert table.entries == []


@pytest.mark.parametrize("pattern", ["(a+)+$", "(x|xx)*y", ".*", "a{1,999999}", "[", "(?R)"])
def test_a_hostile_expression_is_left_out(pattern: str) -> None:
    table = tables.read("f.csv", row(pattern=f"{pattern}", pattern_type="regexp"))
    assert table.entries == []
    assert len(table.skipped) == 1


def test_too_many_rows() -> None:
    line = row().removeprefix(OONI_HEAD)
    table = tables.read("f.csv", OONI_HEAD + line * (tables.MAX_ROWS + 5))
    assert table.faults == ["f.csv:20002: more than 20000 rows"]


def test_a_whole_list_is_asked_quickly() -> None:
    """As many rows as OONI publishes, and a page of the longest excerpt that matches none."""
    line = row().removeprefix(OONI_HEAD).decode()
    rows = [line.replace("x.y", f"n{i}").replace("Walled", f"Walled {i}") for i in range(1800)]
    known = Fingerprints(tables.read("f.csv", OONI_HEAD + "".join(rows).encode()).entries)
    from tests.monitor.detection.scenes import http

    page = http(title="Walled", excerpt=b"<p>Walled " * 204)
    began = time.process_time()
    for _ in range(10):
        assert known.page(page) is None
    assert (time.process_time() - began) / 10 < 0.05
    assert known.page(http(excerpt=b"in the Walled 1799 garden")) == "n1799"


@given(st.binary(max_size=300))
def test_no_bytes_make_it_fail(raw: bytes) -> None:
    for head in (b"", OONI_HEAD):
        table = tables.read("f", head + raw)
        assert all(fault.startswith("f:") for fault in table.faults)
        Fingerprints(table.entries)
