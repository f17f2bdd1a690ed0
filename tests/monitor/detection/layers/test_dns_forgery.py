"""Signs that an answer was forged, and by whom."""

from __future__ import annotations

import msgspec

from monitor.detection.layers.dns import lookup_facts
from probes.wire.failure import Failure
from tests.monitor.detection.dns_scenes import case
from tests.monitor.detection.scenes import (
    A1,
    A3,
    BELOW,
    FORGED,
    V6,
    control,
    dns,
    reference,
    tcp,
    tls,
)


def test_duplicates_on_the_way_are_no_second_answer() -> None:
    assert not lookup_facts(case(dns(FORGED, later=[[FORGED]])), "A").forgery.injected
    assert lookup_facts(case(dns(FORGED, later=[[FORGED], [A1]])), "A").forgery.injected


def test_who_answers_for_a_name_that_does_not_exist() -> None:
    nobody = reference(failure=Failure.DNS_NXDOMAIN, **BELOW)
    assert lookup_facts(case(dns(FORGED), dns(FORGED, **BELOW), nobody), "A").forgery.below
    for below in (
        (dns(FORGED, **BELOW),),  # nobody says that it does not exist
        (dns(FORGED, **BELOW), reference(A1, **BELOW)),
        (dns(A3, **BELOW), nobody),
        (dns(FORGED, **BELOW), msgspec.structs.replace(nobody, qtype="AAAA")),
        (dns(failure=Failure.DNS_NXDOMAIN, **BELOW), nobody),
        (nobody,),
    ):
        assert not lookup_facts(case(dns(FORGED), *below), "A").forgery.below


def test_a_denial_of_the_other_family_without_the_zone() -> None:
    nxdomain, soa = Failure.DNS_NXDOMAIN, {"evidence": ("authority_soa",)}
    forged, none = dns(FORGED), dns(qtype="AAAA")
    below = dns(failure=nxdomain, **BELOW, **soa)
    there = [control(dns(A1), dns(V6, qtype="AAAA"), tcp(A1), tls(A1))]
    encrypted = reference(V6, qtype="AAAA", transport="doh")
    assert lookup_facts(case(forged, none, below, controls=there), "A").forgery.no_soa
    assert lookup_facts(case(forged, none, below, encrypted), "A").forgery.no_soa
    for seen in (
        (forged, none, below),  # nobody sees an address of this family
        (forged, dns(qtype="AAAA", **soa), below, encrypted),
        (forged, none, dns(failure=nxdomain, **BELOW), encrypted),  # it never gives the record
        (forged, dns(failure=Failure.DNS_SERVFAIL, qtype="AAAA"), below, encrypted),
        (forged, below, encrypted),
    ):
        assert not lookup_facts(case(*seen), "A").forgery.no_soa


def test_silence_of_public_resolvers_is_not_a_lie() -> None:
    lost = dns(failure=Failure.TIMEOUT)
    quiet = lookup_facts(case(lost, reference(failure=Failure.TIMEOUT)), "A")
    assert not quiet.forgery.on_path
    assert not quiet.forgery.lying_resolver
