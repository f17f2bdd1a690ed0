"""Flat rows: OONI's columns, harmless in a spreadsheet."""

from __future__ import annotations

from monitor.interop.flat import COLUMNS, rows
from monitor.interop.ooni.csvrows import COLUMNS as READ
from monitor.interop.ooni.csvrows import ObservationRow, inspect
from probes.wire.observation import DNSLookup, DNSReply, TCPConnect, Unrecognised
from tests.monitor.interop.ooni.test_writing import SEEN, WEB, stored


def test_every_kind_has_its_columns_and_the_import_takes_them() -> None:
    found = list(rows(stored(*SEEN, Unrecognised(step="x", raw=b"{}"))))
    assert [each["failure_class"] for each in found] == ["ok", "ok", "tls", "ok"]
    assert all(set(each) <= set(COLUMNS) for each in found)
    assert len(COLUMNS) == 51
    for each in found:
        inspect(ObservationRow._make(each.get(name, "") for name in READ))
    lookup, connect, shaken, asked = found
    assert (lookup["dns_answer"], lookup["dns_engine"]) == ("149.154.167.99", "system")
    assert (connect["tcp_success"], connect["hostname"]) == ("1", "web.telegram.org")
    assert (shaken["tls_failure"], shaken["failure_str_full"]) == (
        "connection_reset",
        "tls.connection_reset",
    )
    assert asked["http_request_url"] == "https://web.telegram.org/"


def test_each_answer_has_a_row() -> None:
    reply = DNSReply(after_us=1, rcode=0, answers=("192.0.2.1", "192.0.2.2"))
    lookup = DNSLookup(endpoint=WEB, name="n", qtype="A", resolver="google", replies=(reply,))
    found = list(rows(stored(lookup)))
    assert [each["ip"] for each in found] == ["192.0.2.1", "192.0.2.2"]
    assert {each["dns_engine"] for each in found} == {"udp"}


def test_text_from_strangers_is_no_formula() -> None:
    bad = TCPConnect(endpoint="[2001:db8::1]:1/tcp", address="2001:db8::1", port=1, failure="=1+1")
    (row,) = rows(stored(bad))
    assert (row["tcp_failure"], row["failure_str"], row["hostname"]) == ("'=1+1", "'=1+1", "")


def test_no_row_says_who_measured() -> None:
    one = stored(*SEEN)
    assert all(one.measurement.probe not in " ".join(each.values()) for each in rows(one))
