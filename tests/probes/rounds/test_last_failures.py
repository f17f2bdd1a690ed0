"""The app's own way counts, contrasts and references do not."""

from __future__ import annotations

import pytest

from probes.rounds.last_failures import dead_endpoints, failed_endpoints
from probes.wire.measurement import Measurement
from probes.wire.observation import (
    AppExchange,
    Contrast,
    DNSLookup,
    HTTPExchange,
    Purpose,
    TCPConnect,
    TLSHandshake,
    Unrecognised,
)


def measurement(*observations) -> Measurement:
    return Measurement(
        v=1,
        id="0" * 32,
        probe="p-" + "0" * 16,
        target="a/b",
        round=0,
        started=0,
        observations=observations,
    )


def history(*observations) -> dict[str, bool]:
    return failed_endpoints(measurement(*observations))


def dns(failure: str | None = None, qtype: str = "A", **changes) -> DNSLookup:
    return DNSLookup(
        **({"endpoint": "e", "name": "n", "resolver": "system"} | changes),
        qtype=qtype,
        failure=failure,
    )


def tcp(failure: str | None = None, address: str = "192.0.2.1", **changes) -> TCPConnect:
    return TCPConnect(endpoint="e", address=address, port=443, failure=failure, **changes)


def tls(failure: str | None = None, **changes) -> TLSHandshake:
    return TLSHandshake(
        endpoint="e", address="192.0.2.1", port=443, sni="n", failure=failure, **changes
    )


def app(failure: str | None = None, address: str = "192.0.2.1", **changes) -> AppExchange:
    return AppExchange(
        endpoint="e", address=address, port=3478, protocol="stun", failure=failure, **changes
    )


@pytest.mark.parametrize(
    ("observations", "failed"),
    [
        ((dns(), tcp(), tls()), False),
        ((dns("dns_nxdomain_error"),), True),
        ((dns(), dns("dns_no_answer", "AAAA"), tcp()), False),
        ((tcp(), tcp("generic_timeout_error", "192.0.2.2")), True),
        ((tcp(), tcp("network_unreachable", "2001:db8::1")), False),
        ((tcp(), tcp("address_not_available", "2001:db8::1")), False),
        ((app(spoke=True),), False),
        ((app(),), True),
        ((app("generic_timeout_error"),), True),
        ((app(spoke=True), app("network_unreachable", "2001:db8::1")), False),
        ((tcp(), tcp("network_unreachable", "2001:db8::1", icmp_type=1)), True),
        ((tcp(), tcp("generic_timeout_error", "2001:db8::1")), True),
        ((tcp("network_unreachable"),), True),
        ((tcp(), tls("connection_reset")), True),
        (
            (
                tls(),
                tls("eof_error", purpose=Purpose.CONTRAST, contrast=Contrast.REFLECTOR),
                dns("generic_timeout_error", purpose=Purpose.REFERENCE),
                Unrecognised(step="smoke", raw=b"{}"),
            ),
            False,
        ),
        (
            (
                tls(),
                HTTPExchange(
                    endpoint="e", address="192.0.2.1", port=443, host="n", failure="eof_error"
                ),
            ),
            True,
        ),
    ],
)
def test_failed(observations, failed: bool):
    assert history(*observations) == {"e": failed}


def test_endpoints_are_apart_and_unmeasured_ones_absent():
    assert history() == {}
    assert history(dns(), dns("dns_refused_error", endpoint="f")) == {"e": False, "f": True}


@pytest.mark.parametrize(
    ("observations", "dead"),
    [
        pytest.param((dns(), tcp("connection_refused")), True, id="its only address"),
        pytest.param((dns(), tcp(), tls("connection_reset")), True, id="after the connect"),
        pytest.param(
            (dns(), tcp("connection_refused"), tcp(address="192.0.2.2")), False, id="not all"
        ),
        pytest.param(
            (dns(), tcp("connection_refused"), tcp("network_unreachable", "2001:db8::1")),
            True,
            id="a machine without IPv6",
        ),
        pytest.param((dns("dns_nxdomain_error"),), True, id="no address at all"),
        pytest.param(
            (dns("dns_nxdomain_error"), tcp()), False, id="the address is right, the name is not"
        ),
        pytest.param((dns(), tcp(), app("generic_timeout_error")), False, id="another port works"),
        pytest.param((dns(), tcp()), False, id="nothing failed"),
    ],
)
def test_dead_is_an_endpoint_of_which_nothing_works(observations, dead: bool):
    assert dead_endpoints(measurement(*observations)) == ({"e"} if dead else set())
