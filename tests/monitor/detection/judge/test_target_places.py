"""The judge where addresses are special, and where answers come in clear text."""

from __future__ import annotations

import ipaddress

import pytest

from monitor.detection.model import Layer, State, Technique
from probes.wire.observation import HANDED_OVER, AnyObservation
from tests.monitor.detection.scenes import (
    A1,
    A3,
    FORGED,
    HTTP,
    HTTPS,
    control,
    dns,
    endpoint,
    foreign,
    http,
    tcp,
    tls,
)
from tests.monitor.detection.sightings import (
    CONTROL_HTTP,
    RESET,
    TIMEOUT,
    liveness_with,
    plain,
    verdict,
)


def test_a_laboratory_in_special_ranges_is_judged_like_the_world() -> None:
    """Documentation addresses are the truth there: another of them is no bogon, 10.x is."""
    assert ipaddress.ip_address("203.0.113.9").is_private
    beside = [control(dns("203.0.113.9"), tcp("203.0.113.9"), tls("203.0.113.9"))]
    other = verdict(dns("198.51.100.4", later=[["203.0.113.9"]]), beside=beside)
    assert other.technique is Technique.DNS_INJECTION_OTHER
    assert "on_path" in other.evidence
    ref = endpoint("tcp", "l1.example")
    live = liveness_with([tcp("192.0.2.7", at=ref)], at=[ref])
    alone = verdict(
        dns("203.0.113.9"), tcp("203.0.113.9"), tls("203.0.113.9", RESET), beside=[], liveness=live
    )
    assert (alone.state, alone.layer) == (State.INCONCLUSIVE, Layer.TLS)
    bogon = verdict(dns("127.0.0.2"), beside=beside)
    assert bogon.technique is Technique.DNS_INJECTION_BOGON


def test_a_plain_answer_that_differs_without_a_known_page_is_open() -> None:
    said = verdict(
        *plain(http(status=403, title="No")),
        endpoints=(HTTP,),
        beside=[CONTROL_HTTP],
    )
    assert said.state is State.INCONCLUSIVE
    assert said.evidence == ("http_differs",)


def test_redirect_to_a_known_block_host() -> None:
    away = http(status=302, location="http://warning.rt.ru/?id=1")
    said = verdict(*plain(away), endpoints=(HTTP,), beside=[CONTROL_HTTP])
    assert said.technique is Technique.HTTP_BLOCKPAGE
    assert "blockpage:ru.rt.host" in said.evidence


def test_https_answers_are_the_services_own() -> None:
    fine = (dns(A1, at=HTTPS), tcp(A1, at=HTTPS), tls(A1, at=HTTPS))
    beside = [control(*fine, http(A1, at=HTTPS), endpoints=(HTTPS,))]
    for answer in ({"status": 302, "location": "https://elsewhere.net"}, {"status": 403}):
        said = verdict(*fine, http(A1, at=HTTPS, **answer), endpoints=(HTTPS,), beside=beside)
        assert said.state is State.OK
    dies = verdict(*fine, http(A1, TIMEOUT, at=HTTPS), endpoints=(HTTPS,), beside=beside)
    assert (dies.state, dies.layer) == (State.INCONCLUSIVE, Layer.HTTP)


OF_OTHERS = {"evidence": (HANDED_OVER,)}


@pytest.mark.parametrize(
    ("handed_over", "state", "remark"),
    [
        pytest.param((), State.INCONCLUSIVE, "unseen_address", id="not tried"),
        pytest.param(
            (tcp(A3, **OF_OTHERS), tls(A3, **OF_OTHERS)), State.BLOCKED, None, id="answers"
        ),
        pytest.param((tcp(A3, TIMEOUT, **OF_OTHERS),), State.DOWN, None, id="dead there too"),
        pytest.param(
            (tcp(A3, RESET, **OF_OTHERS),), State.INCONCLUSIVE, "control_fails", id="otherwise dead"
        ),
    ],
)
def test_an_address_that_a_control_was_asked_to_try_is_compared_with_itself(
    handed_over: tuple[AnyObservation, ...], state: State, remark: str | None
) -> None:
    """The control's own resolvers give it A1 alone, which works."""
    beside = [control(dns(A1), tcp(A1), tls(A1), *handed_over)]
    said = verdict(dns(A3), tcp(A3, TIMEOUT), beside=beside)
    assert said.state is state
    assert {"unseen_address", "control_fails"} & set(said.evidence) == {remark} - {None}
    assert verdict(dns(A1), tcp(A1), tls(A1), beside=beside).state is State.OK


@pytest.mark.parametrize("shown", [foreign(FORGED, **OF_OTHERS), tls(FORGED, RESET, **OF_OTHERS)])
def test_a_forged_address_that_answers_a_control_is_forged_all_the_same(
    shown: AnyObservation,
) -> None:
    beside = [control(dns(A1), tcp(A1), tls(A1), tcp(FORGED, **OF_OTHERS), shown)]
    seen = (dns(FORGED), tcp(FORGED), foreign(FORGED))
    asked, not_asked = verdict(*seen, beside=beside), verdict(*seen)
    assert (asked.state, asked.technique) == (not_asked.state, not_asked.technique)
    assert asked.technique is Technique.DNS_INJECTION_OTHER
