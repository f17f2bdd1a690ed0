"""OONI's measurement JSON: queries, connects, handshakes and requests become ours, verdicts do
not."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from monitor.interop.ooni.csvrows import RowError
from monitor.interop.ooni.document import document_of
from monitor.interop.ooni.keys import run_of
from monitor.interop.ooni.run import UnsupportedTestError, measurements
from probes.wire.observation import (
    DNSLookup,
    HTTPExchange,
    Known,
    Purpose,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)
from tests.monitor.interop.samples import (
    DC,
    connect,
    document,
    handshake,
    query,
    request,
    targets_by_name,
)

WEB = "149.154.167.99"


def seen(name: str = "telegram", **keys: Any) -> dict[str, list[Known]]:
    return run_of(document(name, **keys), targets_by_name()).seen


def test_the_web_layer_of_telegram() -> None:
    found = seen(
        queries=[query("web.telegram.org", WEB)],
        tcp_connect=[connect(WEB, 443), connect(DC[0], 80, "generic_timeout_error")],
        tls_handshakes=[handshake("web.telegram.org", WEB)],
        requests=[request("https://web.telegram.org/")],
    )
    lookup, dialled, shaken, asked = found["telegram/web"]
    assert isinstance(lookup, DNSLookup)
    assert (lookup.answers, lookup.at_us, lookup.took_us) == ((WEB,), 10_000, 40_000)
    assert isinstance(dialled, TCPConnect)
    assert dialled.endpoint == "web.telegram.org:443/https"
    assert isinstance(shaken, TLSHandshake)
    assert (shaken.version, shaken.alpn, shaken.verify_code) == ("TLSv1.3", "h2", 0)
    assert [each.der for each in shaken.chain] == [b""]
    assert isinstance(asked, HTTPExchange)
    assert (asked.status, asked.title, asked.server) == (200, "Hi there", "nginx")
    assert asked.address == WEB
    assert [each.failure for each in found["telegram/dc"]] == ["generic_timeout_error"]


def test_names_that_share_addresses_get_their_connects_in_turn() -> None:
    found = seen(
        "whatsapp",
        queries=[query("v.whatsapp.net", "192.0.2.7")]
        + [query(f"e{n}.whatsapp.net", "192.0.2.7") for n in (1, 2)],
        tcp_connect=[connect("192.0.2.7", port) for port in (443, 5222, 443, 5222, 443)],
    )
    dialled = [s.endpoint for s in found["whatsapp/messaging"] if isinstance(s, TCPConnect)]
    assert sorted(each.rpartition("/")[0] for each in dialled) == [
        "e1.whatsapp.net:443",
        "e1.whatsapp.net:5222",
        "e2.whatsapp.net:443",
        "e2.whatsapp.net:5222",
    ]
    assert sum(isinstance(each, TCPConnect) for each in found["whatsapp/login"]) == 1


def test_another_resolver_is_a_reference_and_keeps_no_volunteers_address() -> None:
    found = seen(
        queries=[
            query("t.me", WEB, engine="udp", resolver_address="8.8.4.4:53"),
            query("t.me", WEB, engine="doh", resolver_address="https://dns.example/dns-query"),
            query("t.me", failure="dns_nxdomain_error", resolver_address="10.0.0.1:53"),
        ]
    )["telegram/links"]
    told = [(s.resolver, s.transport, s.purpose) for s in found if isinstance(s, DNSLookup)]
    assert told == [
        ("8.8.4.4:53", "udp", Purpose.REFERENCE),
        ("dns.example", "doh", Purpose.REFERENCE),
        ("system", "udp", Purpose.SUBJECT),
    ]
    assert b"192.0.2.53" not in msgspec.json.encode(list(map(repr, found)))


def test_old_runs_do_not_say_where_they_shook_hands() -> None:
    bare = handshake("chat.signal.org", WEB, "ssl_unknown_authority")
    del bare["address"]
    found = seen("signal", queries=[query("chat.signal.org", "192.0.2.9")], tls_handshakes=[bare])[
        "signal/chat"
    ]
    shaken = found[-1]
    assert isinstance(shaken, TLSHandshake)
    assert (shaken.address, shaken.port) == ("192.0.2.9", 443)
    assert [each.der for each in shaken.chain] == [b"\x00\x01\x02"]


def test_what_ooni_concluded_is_kept_and_not_read() -> None:
    run = run_of(
        document(
            "facebook_messenger",
            queries=[query("b-api.facebook.com", "192.0.2.1")],
            facebook_b_api_dns_consistent=False,
            facebook_dns_blocking=True,
            client_resolver="192.0.2.53",
            network_events=[{"operation": "read", "num_bytes": 517, "t": 0.25}],
        ),
        targets_by_name(),
    )
    (made,) = measurements(run, targets_by_name())
    record = made.observations[-1]
    assert isinstance(record, Unrecognised)
    left = msgspec.json.decode(record.raw)["left"]
    assert left["keys"] == {"facebook_b_api_dns_consistent": False, "facebook_dns_blocking": True}
    assert b"192.0.2.53" not in record.raw


def test_the_helper_that_answered_is_a_sign_of_life() -> None:
    silent = document("web_connectivity", queries=[query("t.me", failure="dns_timeout")])
    silent["resolver_asn"] = "AS0"
    assert run_of(silent, targets_by_name()).passed == 0
    silent["test_keys"]["control_failure"] = None
    assert run_of(silent, targets_by_name()).passed == 1


def test_strange_entries_are_passed_over() -> None:
    found = seen(
        queries=[7, {}, query("t.me", WEB)],
        tcp_connect=[{"ip": "no", "port": 1, "status": {}}, {"ip": WEB, "port": -1}, None],
        tls_handshakes=[{"address": 5}, {"server_name": "t.me", "network": "udp"}],
        requests=[{"request": {"url": 3}}, {"request": {"url": "gopher://t.me"}}],
    )
    assert [len(each) for each in found.values()] == [1]


def test_what_is_wrapped_is_unwrapped() -> None:
    inner = document(queries=[query("t.me", WEB)])
    outer = {"report_id": "r", "measurement_uid": "u", "raw_measurement": json.dumps(inner)}
    for wrapped in (
        inner,
        outer,
        {"status": 200, "contentType": "application/json", "body": json.dumps(outer)},
        {"status": 200, "contentType": "application/json", "body": inner},
    ):
        assert document_of(wrapped)["test_keys"] == inner["test_keys"]


@pytest.mark.parametrize("value", [None, [], {}, {"body": 5}, {"body": {"body": {"x": 1}}}])
def test_what_is_no_measurement_is_refused(value: object) -> None:
    with pytest.raises(RowError, match="not an OONI measurement"):
        document_of(value)


def test_a_broken_body_says_so() -> None:
    with pytest.raises(RowError, match=r"^body: "):
        document_of({"body": "{"})


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("test_keys", None, "test_keys: missing"),
        ("test_keys", 5, "test_keys: not an object"),
        ("test_name", "", "test_name: missing"),
        ("measurement_start_time", "x", "is not a time"),
        ("probe_asn", "ASX", "not an AS number"),
        ("probe_cc", 7, "not a country code"),
    ],
)
def test_a_bad_measurement_is_refused(key: str, value: object, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        run_of(document() | {key: value}, targets_by_name())


def test_a_run_that_was_never_submitted_goes_by_its_uid() -> None:
    bare = document(queries=[query("t.me", WEB)]) | {"report_id": None}
    wrapped = document_of({"measurement_uid": "u-1", "raw_measurement": bare})
    own = bare | {"id": "i-1"}
    reports = [run_of(each, targets_by_name()).report for each in (wrapped, own, bare, bare)]
    assert reports[:2] == ["u-1", "i-1"]
    assert reports[2] == reports[3]
    later = bare | {"measurement_start_time": "2026-01-01 00:00:04"}
    assert run_of(later, targets_by_name()).report != reports[2]


def test_a_test_that_is_not_read_is_called_that() -> None:
    with pytest.raises(UnsupportedTestError) as refused:
        run_of(document("ndt"), targets_by_name())
    assert refused.value.reason().startswith("OONI's test ndt is not supported (supported: face")
