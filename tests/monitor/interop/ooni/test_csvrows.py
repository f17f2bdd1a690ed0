"""Rows of `obs_web`: what they say, and which are refused."""

from __future__ import annotations

import random

import pytest

from monitor.detection.judge.imported_run import judge
from monitor.interop.ooni.csvrows import (
    COLUMNS,
    RowError,
    as_number,
    header_of,
    inspect,
    moment,
    run_of,
    split_url,
)
from monitor.interop.ooni.run import measurements
from probes.wire.observation import DNSLookup, HTTPExchange, Purpose, TCPConnect, TLSHandshake
from tests.monitor.interop.samples import (
    DC,
    READ,
    ObservationRow,
    cells,
    dc_cells,
    row,
    targets_by_name,
    web_cells,
)


def rows(*found: dict[str, str]) -> list[ObservationRow]:
    return [ObservationRow._make(each[name] for name in READ) for each in found]


def test_one_row_may_hold_answer_connect_and_handshake() -> None:
    run = run_of(rows(web_cells(tls_is_certificate_valid="1.0")), targets_by_name())
    lookup, connect, shaken = run.seen["telegram/web"]
    assert isinstance(lookup, DNSLookup)
    assert lookup.answers == ("149.154.167.99",)
    assert (lookup.resolver, lookup.failure) == ("system", None)
    assert isinstance(connect, TCPConnect)
    assert (connect.address, connect.port, connect.failure) == ("149.154.167.99", 443, None)
    assert isinstance(shaken, TLSHandshake)
    assert (shaken.sni, shaken.took_us, shaken.verify_code) == ("web.telegram.org", 135_000, 0)


def test_answers_of_one_name_are_one_lookup() -> None:
    two = rows(web_cells(), web_cells("149.154.167.98"))
    lookups = [
        s for s in run_of(two, targets_by_name()).seen["telegram/web"] if isinstance(s, DNSLookup)
    ]
    assert [each.answers for each in lookups] == [("149.154.167.98", "149.154.167.99")]


def test_failures_are_kept_in_oonis_words() -> None:
    run = run_of(
        rows(
            dc_cells(DC[0], "generic_timeout_error"),
            cells(
                hostname="web.telegram.org",
                dns_engine="getaddrinfo",
                dns_failure="android_dns_cache_no_data",
            ),
            cells(
                hostname="web.telegram.org",
                http_request_url="https://web.telegram.org/",
                http_failure="unknown_failure: dial [scrubbed]",
            ),
        ),
        targets_by_name(),
    )
    connect = run.seen["telegram/dc"][0]
    assert connect.failure == "generic_timeout_error"
    lookup, exchange = run.seen["telegram/web"]
    assert (lookup.failure, exchange.failure) == (
        "android_dns_cache_no_data",
        "unknown_failure: dial [scrubbed]",
    )
    assert isinstance(lookup, DNSLookup)
    assert lookup.resolver == "system"
    assert isinstance(exchange, HTTPExchange)
    assert (exchange.host, exchange.tls, exchange.port) == ("web.telegram.org", True, 443)


def test_a_failed_handshake_is_one_although_the_column_says_success() -> None:
    both = web_cells(tls_failure="connection_reset")
    seen = run_of(rows(both), targets_by_name()).seen["telegram/web"][-1]
    assert isinstance(seen, TLSHandshake)
    assert seen.failure == "connection_reset"


def test_success_columns_that_default_to_false_say_nothing() -> None:
    run = run_of(rows(cells(ip=DC[0], port="443.0", tcp_success="0.0")), targets_by_name())
    assert run.seen == {}


def test_requests_to_addresses_have_their_address() -> None:
    asked = cells(hostname=DC[0], http_request_url=f"http://{DC[0]}:443/", http_failure="eof_error")
    seen = run_of(rows(asked), targets_by_name()).seen["telegram/dc"][0]
    assert isinstance(seen, HTTPExchange)
    assert (seen.address, seen.port, seen.tls) == (DC[0], 443, False)
    assert seen.endpoint.startswith(f"{DC[0]}:443/")


def test_order_and_repetition_change_nothing() -> None:
    found = rows(web_cells(), *(dc_cells(a, port=p) for a in DC for p in ("80.0", "443.0")))
    wanted = measurements(run_of(found, targets_by_name()), targets_by_name())
    shuffled = [*found, *found]
    random.Random(1).shuffle(shuffled)
    assert measurements(run_of(shuffled, targets_by_name()), targets_by_name()) == wanted


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("measurement_start_time", "yesterday", "is not a time"),
        ("measurement_start_time", "1970-01-01 00:00:00", "before OONI"),
        ("probe_cc", "Kenya", "not a country code"),
        ("probe_asn", "AS-1", "not an AS number"),
        ("probe_asn", "4294967296", "not an AS number"),
        ("ip", "300.1.1.1", "not an address"),
        ("port", "70000", "not a port"),
        ("tcp_success", "maybe", "neither true nor false"),
        ("tcp_failure", "eof_error", "without an address"),
        ("test_name", "", "empty"),
    ],
)
def test_a_bad_row_is_refused_with_its_column(column: str, value: str, reason: str) -> None:
    with pytest.raises(RowError, match=reason) as told:
        inspect(row(**{column: value}))
    assert str(told.value).startswith("tcp_success" if "fail" in column else column)


def test_a_row_needs_a_name_of_its_measurement() -> None:
    with pytest.raises(RowError, match="report_id"):
        inspect(row(report_id="", measurement_uid=""))


def test_missing_columns_are_named() -> None:
    with pytest.raises(RowError, match="no column hostname, input"):
        header_of(name for name in COLUMNS if name not in ("hostname", "input"))
    assert header_of(COLUMNS) == list(range(len(COLUMNS)))


def test_times_numbers_and_urls() -> None:
    assert moment("2026-01-01 00:00:01") == moment("2026-01-01T02:00:01+02:00")
    assert as_number("AS12") == as_number("12.0") == 12
    assert split_url("http://[2001:db8::1]:81/x?y=1") == ("http", "2001:db8::1", 81, "/x?y=1")
    assert split_url("https://a/") == ("https", "a", 443, "/")
    assert split_url("ftp://a/") is None
    assert split_url("http://a:99999/") is None


def test_another_resolvers_rows_prove_that_the_systems_fails() -> None:
    failed = cells(
        hostname="web.telegram.org", dns_engine="getaddrinfo", dns_failure="dns_nxdomain_error"
    )
    run = run_of(rows(failed, web_cells() | {"dns_engine": "udp"}), targets_by_name())
    purposes = {
        each.transport: each.purpose
        for each in run.seen["telegram/web"]
        if isinstance(each, DNSLookup) and each.failure is None
    }
    assert purposes == {"udp": Purpose.REFERENCE}
    (one,) = measurements(run, targets_by_name())
    assert judge(one).rule == "imported.dns_nxdomain_contradicted"
