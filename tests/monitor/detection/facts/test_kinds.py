"""Observation -> kind, with the words that probes and imports use."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.facts.kinds import Kind, dns_kind, http_kind, reached, tcp_kind, tls_kind
from probes.wire.failure import Failure
from probes.wire.observation import DNSReply
from tests.monitor.detection.scenes import A1, dns, foreign, http, tcp, tls


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"failure": None}, Kind.OK),
        ({"failure": Failure.TIMEOUT}, Kind.TIMEOUT),
        ({"failure": "timed_out"}, Kind.TIMEOUT),
        ({"failure": Failure.REFUSED}, Kind.REFUSED),
        ({"failure": Failure.REFUSED, "errno": 111}, Kind.RESET),
        ({"failure": Failure.RESET, "errno": 104}, Kind.RESET),
        (
            {"failure": Failure.REFUSED, "errno": 111, "icmp_type": 3, "icmp_code": 3},
            Kind.UNREACHABLE,
        ),
        ({"failure": Failure.HOST_UNREACHABLE, "icmp_type": 3, "icmp_code": 13}, Kind.PROHIBITED),
        ({"failure": Failure.PERMISSION_DENIED, "icmp_type": 1, "icmp_code": 1}, Kind.PROHIBITED),
        ({"failure": Failure.PERMISSION_DENIED}, Kind.LOCAL),
        ({"failure": Failure.NETWORK_UNREACHABLE}, Kind.UNREACHABLE),
        ({"failure": "a word of tomorrow"}, Kind.OTHER),
    ],
)
def test_tcp(given: dict[str, Any], kind: Kind) -> None:
    assert tcp_kind(tcp(A1, **given)) is kind


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"failure": None}, Kind.OK),
        ({"failure": Failure.RESET}, Kind.RESET),
        ({"failure": Failure.EOF}, Kind.EOF),
        ({"failure": Failure.SSL_FAILED_HANDSHAKE, "alert": 112}, Kind.ALERT),
        ({"failure": Failure.SSL_FAILED_HANDSHAKE}, Kind.OTHER),
        ({"failure": Failure.SSL_FAILED_HANDSHAKE, "plain_http": True}, Kind.PLAIN_HTTP),
        ({"failure": "unknown_failure: x"}, Kind.OTHER),
    ],
)
def test_tls(given: dict[str, Any], kind: Kind) -> None:
    assert tls_kind(tls(A1, **given)) is kind


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (18, Kind.SELF_SIGNED),
        (19, Kind.CA_SIGNED),
        (20, Kind.CA_SIGNED),
        (62, Kind.CA_SIGNED),
        (9, Kind.DATES),
        (10, Kind.DATES),
    ],
)
def test_certificates(code: int, kind: Kind) -> None:
    seen = foreign(A1, code)
    assert tls_kind(seen) is kind
    assert reached(tls_kind(seen))
    assert not reached(Kind.RESET)


def test_dns_believes_the_first_reply() -> None:
    assert dns_kind(dns(A1)) is Kind.OK
    assert dns_kind(dns(failure=Failure.DNS_NXDOMAIN, later=[[A1]])) is Kind.NXDOMAIN
    assert dns_kind(dns(failure=Failure.DNS_REFUSED)) is Kind.DNS_REFUSED
    assert dns_kind(dns(failure=Failure.DNS_SERVFAIL)) is Kind.SERVFAIL
    assert dns_kind(dns()) is Kind.EMPTY
    assert dns_kind(dns(failure=Failure.TIMEOUT)) is Kind.TIMEOUT
    assert dns_kind(dns(replies=())) is Kind.EMPTY
    assert dns_kind(dns(A1, replies=())) is Kind.OTHER
    assert dns_kind(dns(replies=(), failure=Failure.DNS_NXDOMAIN)) is Kind.NXDOMAIN
    odd = dns(failure="x", replies=(DNSReply(after_us=1, rcode=9),))
    assert dns_kind(odd) is Kind.OTHER


def test_http_answers_whatever_the_status() -> None:
    assert http_kind(http(status=500)) is Kind.OK
    assert http_kind(http(status=None)) is Kind.OTHER
    assert http_kind(http(A1, Failure.RESET)) is Kind.RESET
    assert http_kind(http(A1, Failure.HTTP_REQUEST_FAILED)) is Kind.OTHER
