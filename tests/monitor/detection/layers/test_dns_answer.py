"""Addresses that a resolver gave: what confirms them and what speaks against them."""

from __future__ import annotations

from monitor.detection.layers.dns import lookup_facts
from probes.wire.failure import Failure
from probes.wire.observation import Certificate
from tests.monitor.detection.dns_scenes import case
from tests.monitor.detection.scenes import (
    A1,
    FORGED,
    OWN_HOST,
    REFLECTOR,
    V6,
    control,
    dns,
    foreign,
    tcp,
    tls,
)


def test_bogons_are_relative_to_the_truth() -> None:
    assert lookup_facts(case(dns("10.0.0.1")), "A").answer.bogon
    assert not lookup_facts(case(dns("10.0.0.1", A1)), "A").answer.bogon
    house = control(dns("10.9.9.9"), tcp("10.9.9.9"), tls("10.9.9.9"))
    assert not lookup_facts(case(dns("10.9.0.1"), controls=[house]), "A").answer.bogon
    assert lookup_facts(case(dns("10.0.0.1"), controls=[house]), "A").answer.bogon
    assert lookup_facts(case(dns("127.0.0.1"), controls=[house]), "A").answer.bogon


def test_dead_answers_are_compared_within_a_living_family() -> None:
    far6, known6 = "2400::77", "2400::1"
    beyond = [control(dns(known6, qtype="AAAA"), tcp(known6), tls(known6))]
    seen = (dns(far6, qtype="AAAA"), tcp(far6, Failure.TIMEOUT), tcp(known6), tls(known6))
    assert lookup_facts(case(*seen, controls=beyond), "AAAA").answer.dead
    assert not lookup_facts(case(*seen, controls=beyond, v6=False), "AAAA").answer.dead
    only4 = (*seen[:2], tcp(A1), tls(A1))
    assert not lookup_facts(case(*only4), "AAAA").answer.dead


def test_a_certificate_that_a_right_address_shows_is_not_forged_by_dns() -> None:
    seen = (dns(V6, qtype="AAAA"), tcp(V6), foreign(V6), tcp(A1))
    assert lookup_facts(case(*seen, foreign(A1)), "AAAA").answer.by_name
    assert not lookup_facts(case(*seen, tls(A1)), "AAAA").answer.by_name


def test_who_follows_the_name_is_on_the_path() -> None:
    leaf = (Certificate(sha256="b" * 64),)
    shown = foreign(FORGED, chain=leaf)
    ours = tls(REFLECTOR, chain=leaf, **OWN_HOST)
    assert lookup_facts(case(dns(FORGED), tcp(FORGED), shown, ours), "A").answer.by_name
    assert not lookup_facts(case(dns(FORGED), tcp(FORGED), shown), "A").answer.by_name
