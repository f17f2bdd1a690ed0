"""Fields of strangers: any value gives a value, never an exception of ours."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from monitor.interop.ooni.csvrows import COLUMNS, ObservationRow, RowError, inspect
from monitor.interop.ooni.csvrows import run_of as run_of_rows
from monitor.interop.ooni.document import (
    HTTPResponse,
    OONIConnect,
    OONIEntry,
    OONIQuery,
    OONIStatus,
    address_of,
    body_of,
    document_of,
    entries,
    failure_of,
    headers_of,
    host_of,
    micros,
    resolver_asn,
    shallow,
)
from monitor.interop.ooni.keys import run_of
from monitor.interop.ooni.run import UnsupportedTestError, measurements
from probes.wire.codec import WireError, decode, encode
from tests.monitor.interop.samples import cells, document, targets_by_name

WORDS = """hostname failure answers ipv4 status ip port address t t0 request response url headers
    headers_list body code ttl server_name peer_certificates data engine query_type
    answer_type"""
FIELDS = WORDS.split()
leaves: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["t.me", "web.telegram.org", "149.154.175.50", "[::1]:443", "1.2.3.4:²"])
)
values = st.recursive(
    leaves,
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(
            st.sampled_from(FIELDS),
            inside,
            max_size=5,
        )
    ),
    max_leaves=12,
)
KEYS = ("queries", "tcp_connect", "tls_handshakes", "requests", "control_failure", "x_reachwatch")


@example({"queries": [{"failure": []}]})
@given(st.dictionaries(st.sampled_from(KEYS), st.lists(values, max_size=3) | values))
def test_any_document_gives_measurements_or_a_refusal(keys: dict[str, Any]) -> None:
    for name in ("telegram", "reachwatch"):
        try:
            made = measurements(
                run_of(document(name, **keys), targets_by_name()), targets_by_name()
            )
            for each in made:
                decode(encode(each))
        except (RowError, WireError):
            continue


def outcome(given: object) -> list[bytes] | str:
    """The measurements of a document as lines, or why it is refused."""
    try:
        run = run_of(document_of(given), targets_by_name())
        return [encode(each) for each in measurements(run, targets_by_name())]
    except (RowError, WireError) as error:
        return str(error)


@example({"queries": [{"failure": []}, {"hostname": "t.me", "t": 1}]})
@example({"requests": [], "later": {"b": 1, "a": [2]}, "client_resolver": "192.0.2.1"})
@given(st.dictionaries(st.sampled_from(KEYS), st.lists(values, max_size=3) | values))
def test_what_is_decoded_late_is_decoded_the_same(keys: dict[str, Any]) -> None:
    for more in ({}, {"report_id": None}, {"annotations": 5}):
        line = msgspec.json.encode(document("telegram", **keys) | more)
        late = shallow(line)
        assert late is not None
        assert isinstance(late["test_keys"], dict)
        assert outcome(late) == outcome(msgspec.json.decode(line))


@pytest.mark.parametrize("line", [b"[]", b"5", b'{"a": 1}', b'{"test_keys": 5}', b'{"body": {}}'])
def test_what_holds_no_measurement_is_decoded_at_once(line: bytes) -> None:
    assert shallow(line) is None


@pytest.mark.parametrize(
    ("value", "failure"),
    [
        (None, None),
        (False, None),
        ("", None),
        ("dns_nxdomain_error", "dns_nxdomain_error"),
        (True, "unknown_failure"),
    ],
)
def test_what_is_no_failure_and_no_success_is_unknown(
    value: str | bool | None, failure: str | None
) -> None:
    assert failure_of(value) == failure


@given(values)
def test_any_value_is_a_document_or_refused(value: object) -> None:
    with pytest.raises(RowError):
        document_of(value)


@given(st.dictionaries(st.sampled_from(COLUMNS), st.text(max_size=8) | st.just("1.0")))
def test_any_row_is_a_run_or_refused(found: dict[str, str]) -> None:
    row = ObservationRow._make((cells() | found)[name] for name in COLUMNS)
    try:
        inspect(row)
    except (RowError, UnsupportedTestError):
        return
    for each in measurements(run_of_rows([row], targets_by_name()), targets_by_name()):
        encode(each)


def test_entries_that_do_not_fit_their_type_are_left_out() -> None:
    dialled = {"ip": "192.0.2.1", "port": "443", "status": {"failure": None, "success": True}}
    odd: list[Any] = [1, None, {}, dialled | {"port": "\u00b2"}, dialled | {"status": []}]
    (found,) = entries({"a": [*odd, dialled]}, "a", OONIConnect)
    assert (found.ip, found.port, found.status) == ("192.0.2.1", 443, OONIStatus(None, True))
    assert list(entries({"a": 5}, "a", OONIConnect)) == []
    (query,) = entries({"a": [{"answers": [{"ipv4": "no"}, {"ipv6": "::1"}]}]}, "a", OONIQuery)
    assert [each.address for each in query.answers or ()] == ["", "::1"]


def test_what_fields_mean() -> None:
    assert address_of("[2001:db8::1]:443") == ("2001:db8::1", 443)
    assert address_of("192.0.2.1:8443") == ("192.0.2.1", 8443)
    for nothing in ("192.0.2.1:\u00b2", "192.0.2.1:65536", "192.0.2.1:-1", "", None):
        assert address_of(nothing) == ("", 443)
    assert host_of("https://dns.example/dns-query") == "dns.example"
    assert host_of("8.8.8.8:53") == "8.8.8.8:53"
    assert resolver_asn({"resolver_asn": "AS7"}) == 7
    assert resolver_asn({"resolver_asn": "AS\u00b2"}) == 0
    assert [micros(v) for v in (1.5, -1, "x", float("nan"), 1e9)] == [1_500_000, 0, 0, 0, 0]
    both, end = OONIEntry(t0=1, t=3), OONIEntry(t=3)
    assert both.span_us() == (1_000_000, 2_000_000)
    assert end.span_us() == (3_000_000, 0)
    assert list(headers_of(HTTPResponse(headers={"A": "b", "C": 3}))) == [("A", "b")]
    assert list(headers_of(HTTPResponse(headers_list=[["A", "b"], [1], 5]))) == [("A", "b")]
    assert body_of(HTTPResponse(body={"format": "base64", "data": "AAE="})) == b"\x00\x01"
    assert body_of(HTTPResponse(body={"format": "base64", "data": "!"})) == b""
    assert body_of(HTTPResponse(body=7)) == b""
