"""How a step ended, for every failure that a probe reports, and which share of several attempts."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.judge.target import judge
from monitor.detection.observed.kinds import (
    Kind,
    dns_kind,
    http_kind,
    innocuous_passes,
    partial_loss,
    reached,
    tcp_kind,
    tls_kind,
)
from probes.wire.failure import Failure
from probes.wire.observation import DNSReply
from tests.monitor.detection.scenes import (
    A1,
    A2,
    CLASSICAL,
    HTTP,
    INNOCUOUS,
    INNOCUOUS_HOST,
    REPEAT,
    alive,
    control,
    dns,
    foreign,
    http,
    measured,
    tcp,
    tls,
)


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
        ({"failure": Failure.NETWORK_UNREACHABLE, "errno": 101}, Kind.LOCAL),
        ({"failure": Failure.HOST_UNREACHABLE, "errno": 113}, Kind.LOCAL),
        (
            {
                "failure": Failure.NETWORK_UNREACHABLE,
                "errno": 101,
                "icmp_type": 3,
                "icmp_code": 0,
            },
            Kind.UNREACHABLE,
        ),
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
        (62, Kind.OTHER_NAME),
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


X, P = Kind.RESET, Kind.OK
DIES = Failure.RESET


@pytest.mark.parametrize(
    ("tries", "said"),
    [
        ([X, P, X, P, X], True),
        ([X, P, X, X], True),
        ([X, P, X, P, P, P], False),
        ([X, P, P, P], False),
        ([X, X, X], False),
        ([X, P, Kind.TIMEOUT, X, P], False),
        ([X, X, X, *[P] * 4], False),
        ([X, X, X, X, *[P] * 5], False),
        ([*[X] * 5, *[P] * 7], True),
        ([*[X] * 5, *[P] * 8], False),
        ([], False),
    ],
)
def test_many_of_several(tries: list[Kind], said: bool) -> None:
    assert partial_loss(X, tries) is said


def test_a_harmless_name_must_pass_every_time() -> None:
    assert innocuous_passes(X, [P, Kind.CA_SIGNED, Kind.ALERT])
    assert not innocuous_passes(X, [P])
    assert not innocuous_passes(X, [P, X, P])
    assert not innocuous_passes(Kind.ALERT, [P, Kind.ALERT])


def handshakes(*died: bool, harmless: int = 2, last=REPEAT):  # type: ignore[no-untyped-def]
    names = [{}, *[REPEAT] * (len(died) - 2), last]
    shaken = [tls(A1, DIES if d else None, **k) for d, k in zip(died, names, strict=True)]
    return [dns(A1), tcp(A1), *shaken, *(tls(A1, **INNOCUOUS) for _ in range(harmless))]


def said(*seen, beside=None):  # type: ignore[no-untyped-def]
    beside = control() if beside is None else beside
    return judge(measured(*seen), alive(), [beside] if beside else [])


def test_half_of_the_handshakes() -> None:
    verdict = said(*handshakes(True, False, True, False, True))
    assert (verdict.state, verdict.technique) == ("impaired", "tls.reset.sni")
    assert verdict.evidence == ("partial:flows",)
    assert (verdict.endpoints.failed, verdict.addresses.failed) == (0, 0)


def test_one_of_five_was_lost() -> None:
    verdict = said(*handshakes(True, False, False, False, False))
    assert (verdict.state, verdict.rule) == ("ok", "tls.repeat_valid")


def test_a_small_hello_that_passes_by_luck_is_one_of_the_tries() -> None:
    verdict = said(*handshakes(True, True, True, False, last=CLASSICAL))
    assert (verdict.state, verdict.technique) == ("impaired", "tls.reset.sni")
    verdict = said(*handshakes(True, True, False, harmless=0, last=CLASSICAL))
    assert (verdict.state, verdict.rule) == ("ok", "tls.large_hello")


def test_a_harmless_name_dies_too_or_was_not_tried() -> None:
    for harmless in (0, 1):
        assert said(*handshakes(True, False, True, False, True, harmless=harmless)).state == "ok"
    dies_too = tls(A1, DIES, **INNOCUOUS)
    assert said(*handshakes(True, False, True, False, True), dies_too).state == "ok"


def test_a_harmless_name_dies_at_another_address_of_the_service() -> None:
    half = handshakes(True, False, True, False, True, harmless=3)
    for ours, state in ((None, "ok"), (DIES, "impaired")):  # there, ours passes at times, or never
        other = tcp(A2), tls(A2, ours), tls(A2, DIES, **INNOCUOUS)
        assert said(*half, *other).state == state


def test_a_moody_server_is_one_for_the_control_too() -> None:
    moody = control(dns(A1), tcp(A1), tls(A1, DIES), tls(A1, **REPEAT))
    assert said(*handshakes(True, False, True, False, True), beside=moody).state == "ok"


def test_without_a_control_it_works() -> None:
    verdict = said(*handshakes(True, False, True, False, True), beside=())
    assert (verdict.state, verdict.technique) == ("ok", None)


def test_half_of_the_connections() -> None:
    connects = [
        tcp(A1, DIES if n % 2 == 0 else None, errno=111 if n % 2 == 0 else None, **kind)
        for n, kind in enumerate([{}, REPEAT, REPEAT, REPEAT, REPEAT])
    ]
    verdict = said(dns(A1), *connects, tls(A1))
    assert (verdict.state, verdict.technique) == ("impaired", "tcp.reset")
    assert "partial:flows" in verdict.evidence
    assert [f.layer for f in verdict.findings if not f.blocked] == ["dns", "tls"]


def test_half_of_the_requests() -> None:
    asked = [http(A1, DIES if n % 2 == 0 else None, **k) for n, k in enumerate([{}, *[REPEAT] * 4])]
    beyond = control(dns(A1, at=HTTP), tcp(A1, at=HTTP), http(A1), endpoints=(HTTP,))
    seen = [dns(A1, at=HTTP), tcp(A1, at=HTTP), *asked, *[http(A1, **INNOCUOUS_HOST)] * 2]
    verdict = judge(measured(*seen, endpoints=(HTTP,)), alive(), [beyond])
    assert (verdict.state, verdict.technique) == ("impaired", "http.reset.host")
    assert verdict.evidence == ("partial:flows",)


def test_an_icmp_error_of_the_vantages_own_machine_is_local() -> None:
    refused = {"failure": Failure.HOST_UNREACHABLE, "icmp_type": 3, "icmp_code": 13}
    assert tcp_kind(tcp(**refused)) is Kind.PROHIBITED
    assert tcp_kind(tcp(**refused, evidence=("icmp_own",))) is Kind.LOCAL
