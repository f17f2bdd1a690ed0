"""Signs that an answer was forged, and by whom."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.detection.judge.target import judge
from monitor.detection.layers.dns import lookup_facts
from probes.wire.failure import Failure
from probes.wire.observation import DNSLookup
from tests.monitor.detection.dns_scenes import case
from tests.monitor.detection.scenes import (
    A1,
    A3,
    BELOW,
    FORGED,
    SILENT,
    V6,
    alive,
    control,
    dns,
    foreign,
    measured,
    reference,
    tcp,
    tls,
)

ZONE = {"evidence": ("authority_soa",)}
NOBODYS = BELOW | {"name": "f6a7b8c9d0.harmless.example"}


def test_duplicates_on_the_way_are_no_second_answer() -> None:
    assert not lookup_facts(case(dns(FORGED, later=[[FORGED]])), "A").forgery.injected
    assert lookup_facts(case(dns(FORGED, later=[[FORGED], [A1]])), "A").forgery.injected


def test_a_network_that_leads_every_query_to_its_resolver_injects_nothing() -> None:
    """It answers in place of the public resolvers as well, and may pass on what it was told."""
    forged, alike = dns(FORGED), reference(FORGED)
    usual = dns(A3, name="innocuous.test", **SILENT)
    here = dns(FORGED, **SILENT)
    injected = lookup_facts(case(forged, alike, here), "A").forgery
    assert (injected.injected, injected.changed, injected.led) == (True, True, False)
    led = lookup_facts(case(forged, alike, here, usual), "A").forgery
    assert (led.injected, led.changed, led.led) == (False, False, True)
    assert (led.on_path, led.lying_resolver) == (True, False), "who answers is on the path"
    lost = dns(failure=Failure.TIMEOUT, replies=(), name="innocuous.test", **SILENT)
    assert lookup_facts(case(forged, alike, here, lost), "A").forgery == injected
    assert lookup_facts(case(forged, alike, here, lost, usual), "A").forgery == led
    twice = lookup_facts(case(dns(FORGED, later=[[A1]]), here, usual), "A").forgery
    assert (twice.injected, twice.changed) == (True, True)


def test_another_address_for_a_name_below_counts_beside_a_denial_of_other_such_names() -> None:
    nobody = reference(failure=Failure.DNS_NXDOMAIN, **BELOW)
    seen = dns(FORGED), dns(A3, **BELOW), nobody
    denied = dns(failure=Failure.DNS_NXDOMAIN, **NOBODYS)
    assert lookup_facts(case(*seen, denied), "A").forgery.below
    assert not lookup_facts(case(*seen, dns(A3, **NOBODYS)), "A").forgery.below, "it sells them"
    assert not lookup_facts(case(dns(FORGED), nobody, denied), "A").forgery.below


@pytest.mark.parametrize(
    ("other", "below", "kept"),
    [
        (dns(qtype="AAAA", **ZONE), ZONE, True),
        (dns(V6, qtype="AAAA"), ZONE, True),
        (dns("2400::9", qtype="AAAA"), ZONE, False),
        (dns(qtype="AAAA"), ZONE, False),
        (dns(qtype="AAAA", **ZONE), {}, False),
        (dns(qtype="AAAA", **ZONE), None, False),
        (None, ZONE, False),
    ],
    ids=["denied", "right", "wrong too", "no zone", "none below", "not asked", "one family"],
)
def test_an_answer_in_a_zone_that_is_else_right_may_be_an_old_one(
    other: DNSLookup | None, below: dict[str, Any] | None, kept: bool
) -> None:
    gone = Failure.DNS_NXDOMAIN
    beside = [] if below is None else [dns(failure=gone, **BELOW, **below)]
    right = reference(A1), tcp(A1), tls(A1), tcp(V6), tls(V6)
    tried = tcp(FORGED), foreign(FORGED, 62), *right
    seen = [dns(FORGED), *([other] if other else []), *beside, *tried]
    assert lookup_facts(case(*seen), "A").forgery.zone_kept is kept
    said = judge(measured(*seen), alive(), [control()])
    # Where the other family is right, an endpoint works by it.
    assert (said.state in ("blocked", "impaired")) is not kept, said
    here = dns(FORGED, **SILENT)
    injected = judge(measured(*seen, here), alive(), [control()])
    assert injected.state in ("blocked", "impaired"), injected


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
