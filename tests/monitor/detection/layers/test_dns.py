"""DNS: what is read, and the order of the rules."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.detection.judge.target import judge
from monitor.detection.layers.dns import DNS_RULES, LookupFacts, lookup_facts
from monitor.detection.model import Verdict
from monitor.detection.observed.endpoint_context import EndpointContext, Reach, endpoint_context
from monitor.detection.observed.kinds import Kind
from monitor.detection.observed.liveness import vantage_status
from monitor.detection.observed.view import view
from monitor.detection.rule import first
from probes.wire.failure import Failure
from probes.wire.measurement import Vantage
from probes.wire.observation import AnyObservation, Certificate, Contrast, DNSLookup
from tests.monitor.detection.scenes import (
    A1,
    A2,
    A3,
    BELOW,
    FORGED,
    OWN_HOST,
    REFLECTOR,
    REPEAT,
    TLS,
    V6,
    alive,
    contrast,
    control,
    dns,
    endpoint,
    foreign,
    measured,
    reference,
    tcp,
    tls,
)


def case(*seen: AnyObservation, controls: Any = None, v6: bool = True) -> EndpointContext:
    views = view(measured(*seen))
    beyond = [control()] if controls is None else controls
    return endpoint_context(
        views[TLS.id],
        tuple(views.values()),
        [view(m)[TLS.id] for m, _ in beyond],
        vantage_status(alive(v6=v6)),
    )


def test_duplicates_on_the_way_are_no_second_answer() -> None:
    assert not lookup_facts(case(dns(FORGED, later=[[FORGED]])), "A").injected
    assert lookup_facts(case(dns(FORGED, later=[[FORGED], [A1]])), "A").injected


def test_an_answer_that_a_lean_round_did_not_dial_is_not_called_forged() -> None:
    """A second reply differs, and only the other family was tried: no certificate could confirm it.
    Once one of its addresses is dialled, it can."""
    six = "2a02::1"
    answers = (dns(FORGED, later=[[A1]]), dns(six, qtype="AAAA"))
    passed = tcp(six), tls(six)
    said = judge(measured(*answers, *passed), alive(), [control()])
    assert (said.state, said.technique) == ("ok", None)
    tried = judge(measured(*answers, *passed, tcp(FORGED), foreign(FORGED)), alive(), [control()])
    assert (tried.state, tried.technique) == ("impaired", "dns.injection.other")


def test_bogons_are_relative_to_the_truth() -> None:
    assert lookup_facts(case(dns("10.0.0.1")), "A").bogon
    assert not lookup_facts(case(dns("10.0.0.1", A1)), "A").bogon
    house = control(dns("10.9.9.9"), tcp("10.9.9.9"), tls("10.9.9.9"))
    assert not lookup_facts(case(dns("10.9.0.1"), controls=[house]), "A").bogon
    assert lookup_facts(case(dns("10.0.0.1"), controls=[house]), "A").bogon
    assert lookup_facts(case(dns("127.0.0.1"), controls=[house]), "A").bogon


def test_dead_answers_are_compared_within_a_living_family() -> None:
    far6, known6 = "2400::77", "2400::1"
    beyond = [control(dns(known6, qtype="AAAA"), tcp(known6), tls(known6))]
    seen = (dns(far6, qtype="AAAA"), tcp(far6, Failure.TIMEOUT), tcp(known6), tls(known6))
    assert lookup_facts(case(*seen, controls=beyond), "AAAA").dead
    assert not lookup_facts(case(*seen, controls=beyond, v6=False), "AAAA").dead
    only4 = (*seen[:2], tcp(A1), tls(A1))
    assert not lookup_facts(case(*only4), "AAAA").dead


def test_who_answers_for_a_name_that_does_not_exist() -> None:
    nobody = reference(failure=Failure.DNS_NXDOMAIN, **BELOW)
    assert lookup_facts(case(dns(FORGED), dns(FORGED, **BELOW), nobody), "A").below
    for below in (
        (dns(FORGED, **BELOW),),  # nobody says that it does not exist
        (dns(FORGED, **BELOW), reference(A1, **BELOW)),
        (dns(A3, **BELOW), nobody),
        (dns(FORGED, **BELOW), msgspec.structs.replace(nobody, qtype="AAAA")),
        (dns(failure=Failure.DNS_NXDOMAIN, **BELOW), nobody),
        (nobody,),
    ):
        assert not lookup_facts(case(dns(FORGED), *below), "A").below


def test_a_denial_of_the_other_family_without_the_zone() -> None:
    nxdomain, soa = Failure.DNS_NXDOMAIN, {"evidence": ("authority_soa",)}
    forged, none = dns(FORGED), dns(qtype="AAAA")
    below = dns(failure=nxdomain, **BELOW, **soa)
    there = [control(dns(A1), dns(V6, qtype="AAAA"), tcp(A1), tls(A1))]
    encrypted = reference(V6, qtype="AAAA", transport="doh")
    assert lookup_facts(case(forged, none, below, controls=there), "A").no_soa
    assert lookup_facts(case(forged, none, below, encrypted), "A").no_soa
    for seen in (
        (forged, none, below),  # nobody sees an address of this family
        (forged, dns(qtype="AAAA", **soa), below, encrypted),
        (forged, none, dns(failure=nxdomain, **BELOW), encrypted),  # it never gives the record
        (forged, dns(failure=Failure.DNS_SERVFAIL, qtype="AAAA"), below, encrypted),
        (forged, below, encrypted),
    ):
        assert not lookup_facts(case(*seen), "A").no_soa


def test_a_certificate_that_a_right_address_shows_is_not_forged_by_dns() -> None:
    seen = (dns(V6, qtype="AAAA"), tcp(V6), foreign(V6), tcp(A1))
    assert lookup_facts(case(*seen, foreign(A1)), "AAAA").by_name
    assert not lookup_facts(case(*seen, tls(A1)), "AAAA").by_name


def test_silence_of_public_resolvers_is_not_a_lie() -> None:
    lost = dns(failure=Failure.TIMEOUT)
    quiet = lookup_facts(case(lost, reference(failure=Failure.TIMEOUT)), "A")
    assert not quiet.on_path
    assert not quiet.lying_resolver


def test_who_follows_the_name_is_on_the_path() -> None:
    leaf = (Certificate(sha256="b" * 64),)
    shown = foreign(FORGED, chain=leaf)
    ours = tls(REFLECTOR, chain=leaf, **OWN_HOST)
    assert lookup_facts(case(dns(FORGED), tcp(FORGED), shown, ours), "A").by_name
    assert not lookup_facts(case(dns(FORGED), tcp(FORGED), shown), "A").by_name


def test_a_resolver_that_fails_an_innocuous_name_too() -> None:
    def said(beside: str | None, **other: Any) -> Verdict:
        refused = {"failure": Failure.DNS_REFUSED}
        seen = [dns(qtype=q, **refused, **c) for q in ("A", "AAAA") for c in ({}, REPEAT)]
        named = {"name": "harmless.example", **contrast(Contrast.INNOCUOUS_NAME)}
        answers = () if beside else (A2,)
        return judge(
            measured(*seen, dns(*answers, failure=beside, **named, **other)), alive(), [control()]
        )

    limited = said(Failure.DNS_REFUSED)
    assert (limited.state, limited.technique) == ("inconclusive", None)
    assert limited.evidence == ("resolver_limits",)
    # It need not fail in the same way, nor every time.
    assert said(Failure.TIMEOUT).evidence == ("resolver_limits",)
    assert said(None, evidence=("sent_again",)).evidence == ("resolver_limits",)
    # An answer that is late, as on a busy machine, is no failure.
    assert said(None, evidence=("sent_again", "sent_again_answered")).rule == "dns.refused"
    assert (said(None).state, said(None).technique) == ("blocked", "dns.refused")


@pytest.mark.parametrize("how", [Failure.DNS_NXDOMAIN, Failure.DNS_NO_ANSWER])
def test_a_resolver_that_denies_and_answers_an_innocuous_name(how: Failure) -> None:
    """It denies names by chance. An innocuous name that it always denies may be blocked itself."""

    def said(*beside: str | None) -> str:
        seen = [dns(failure=how, **c) for c in ({}, REPEAT)]
        named = {"name": "harmless.example", **contrast(Contrast.INNOCUOUS_NAME)}
        seen += [dns(*(() if each else (A2,)), failure=each, **named) for each in beside]
        return judge(measured(*seen), alive(), [control()]).rule

    accused = "dns.empty" if how is Failure.DNS_NO_ANSWER else "dns.nxdomain"
    assert said(how, None) == "dns.resolver_limits"
    assert said(how, how) == said(None, None) == accused


@pytest.mark.parametrize(("late_us", "state"), [(4_500_000, "inconclusive"), (900_000, "blocked")])
def test_a_resolver_that_answers_an_innocuous_name_late(late_us: int, state: str) -> None:
    silent = {"failure": Failure.TIMEOUT, "took_us": 5_000_000}
    seen = [dns(qtype=q, **silent, **c) for q in ("A", "AAAA") for c in ({}, REPEAT)]
    named = {"name": "harmless.example", **contrast(Contrast.INNOCUOUS_NAME)}
    said = judge(measured(*seen, dns(A2, took_us=late_us, **named)), alive(), [control()])
    assert said.state == state


def test_the_names_own_servers_answer_so_from_here() -> None:
    def said(*beside: DNSLookup) -> Verdict:
        seen = [dns(failure=Failure.DNS_NXDOMAIN), dns(failure=Failure.DNS_NXDOMAIN, qtype="AAAA")]
        return judge(measured(*seen, *beside), alive(), [control()])

    denied = {"failure": Failure.DNS_NXDOMAIN}
    too = said(
        reference(transport="doh", **denied), reference(transport="doh", qtype="AAAA", **denied)
    )
    assert (too.state, too.technique, too.evidence) == ("inconclusive", None, ("by_authority",))
    # Over plain UDP anybody may have said so, and one encrypted answer is enough.
    for other in ([reference(**denied)], [reference(A1, transport="dot")]):
        assert said(*other).technique == "dns.nxdomain"


UNANSWERED_SO = (
    Failure.DNS_NXDOMAIN,
    Failure.DNS_REFUSED,
    Failure.DNS_SERVFAIL,
    Failure.DNS_NO_ANSWER,
    Failure.DNS_MISBEHAVING,
    Failure.TIMEOUT,
)


@pytest.mark.parametrize("failure", UNANSWERED_SO)
@pytest.mark.parametrize(("qtype", "other", "there"), [("AAAA", "A", A1), ("A", "AAAA", V6)])
def test_a_query_type_that_the_resolver_answers_for_no_name(
    failure: Failure, qtype: str, other: str, there: str
) -> None:
    """As home routers do to AAAA (RFC 4074), and resolvers of IPv6-only networks may do to A."""

    def failing(seen: AnyObservation) -> AnyObservation:
        missing = isinstance(seen, DNSLookup) and seen.qtype == qtype
        host = endpoint("tls", seen.name) if missing else TLS
        return dns(qtype=qtype, failure=failure, at=host) if missing else seen

    (whole,) = alive()
    every = msgspec.structs.replace(whole, observations=tuple(map(failing, whole.observations)))
    both = dns(A1), dns(V6, qtype="AAAA"), tcp(A1), tls(A1), tcp(V6), tls(V6)
    beyond = [control(*both)]
    denied = dns(qtype=qtype, failure=failure), dns(qtype=qtype, failure=failure, **REPEAT)
    answered = measured(*denied, dns(there, qtype=other), tcp(there), tls(there))
    assert judge(answered, [every], beyond).state == "ok"
    # What is said of this name alone is said by the other type, whatever weighs more.
    alone = Failure.DNS_SERVFAIL if failure is not Failure.DNS_SERVFAIL else Failure.DNS_REFUSED
    blocked = measured(
        *denied, dns(qtype=other, failure=alone), dns(qtype=other, failure=alone, **REPEAT)
    )
    said = judge(blocked, [every], beyond)
    assert (said.state, said.rule) == ("blocked", f"dns.{alone.split('_')[1]}")


def test_nxdomain_for_one_type_of_one_name_accuses() -> None:
    denied = dns(qtype="AAAA", failure=Failure.DNS_NXDOMAIN)
    beyond = control(dns(A1), dns(V6, qtype="AAAA"), tcp(A1), tls(A1), tcp(V6), tls(V6))
    said = judge(measured(denied, dns(A1), tcp(A1), tls(A1)), alive(), [beyond])
    assert (said.state, said.technique) == ("impaired", "dns.nxdomain")


def test_a_filter_in_the_house_is_said_to_be_possible() -> None:
    home = Vantage(country="RU", asn=1, resolver_class="private")
    seen = [dns("0.0.0.0"), reference(A1)]
    said = judge(measured(*seen, vantage=home), alive(), [control()])
    assert (said.state, said.technique) == ("blocked", "dns.injection.bogon")
    assert said.evidence == ("local_resolver", "lying_resolver")
    forged = [dns("0.0.0.0", later=[[A1]]), reference(A1)]
    assert "local_resolver" not in judge(measured(*forged, vantage=home), alive(), []).evidence


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"proven": True, "bogon": True, "injected": True}, "dns.answer_proven"),
        ({"known": True, "bogon": True, "page": "x"}, "dns.answer_known"),
        ({"bogon": True, "page": "x"}, "dns.bogon"),
        ({"page": "x", "injected": True}, "dns.blockpage"),
        ({"bogon": True, "injected": True}, "dns.bogon"),
        ({"injected": True}, "dns.injected"),
        ({"injected": True, "by_name": True}, "dns.answer_alone"),
        ({"foreign": True}, "dns.answer_alone"),
        ({"foreign": True, "others_known": True}, "dns.foreign_certificate"),
        ({"below": True, "others_known": True}, "dns.forged_below"),
        ({"below": True, "others_known": True, "foreign": True}, "dns.foreign_certificate"),
        ({"below": True, "others_known": True, "untried": True}, "dns.answer_unmatched"),
        ({"below": True, "others_known": True, "by_name": True}, "dns.answer_unmatched"),
        ({"below": True}, "dns.answer_alone"),
        ({"dead": True, "on_path": True}, "dns.dead_answer"),
        ({"dead": True, "on_path": True, "by_name": True}, "dns.answer_alone"),
        ({"dead": True, "no_soa": True}, "dns.dead_answer"),
        ({"no_soa": True, "others_known": True}, "dns.answer_unmatched"),
        ({"dead": True, "lying_resolver": True}, "dns.answer_alone"),
        ({"others_known": True}, "dns.answer_unmatched"),
        ({}, "dns.answer_alone"),
        ({"kind": Kind.EMPTY, "sibling": True}, "dns.no_record"),
        ({"kind": Kind.EMPTY, "reach": Reach.SAME}, "dns.no_record"),
        ({"kind": Kind.EMPTY}, "dns.empty"),
        ({"kind": Kind.NXDOMAIN, "sibling": True}, "dns.nxdomain"),
        (
            {"kind": Kind.NXDOMAIN, "sibling": True, "type_unanswered": True},
            "dns.other_family_answered",
        ),
        ({"kind": Kind.NXDOMAIN, "type_unanswered": True}, "dns.type_unanswered"),
        ({"kind": Kind.EMPTY, "type_unanswered": True, "sibling": True}, "dns.no_record"),
        ({"kind": Kind.NXDOMAIN, "reach": Reach.SAME}, "dns.failure_everywhere"),
        ({"kind": Kind.SERVFAIL, "sibling": True}, "dns.other_family_answered"),
        ({"kind": Kind.SERVFAIL, "asked_again": True}, "dns.servfail"),
        ({"kind": Kind.SERVFAIL, "limits": True}, "dns.resolver_limits"),
        ({"kind": Kind.TIMEOUT, "limits": True}, "dns.resolver_limits"),
        ({"kind": Kind.SERVFAIL, "asked_again": True, "by_chance": True}, "dns.background"),
        ({"kind": Kind.TIMEOUT, "by_chance": True, "others": True}, "dns.background"),
        ({"kind": Kind.NXDOMAIN, "limits": True}, "dns.nxdomain"),
        ({"kind": Kind.NXDOMAIN, "contradicted": True}, "dns.resolver_limits"),
        ({"kind": Kind.NXDOMAIN, "contradicted": True, "sibling": True}, "dns.resolver_limits"),
        ({"kind": Kind.NXDOMAIN, "contradicted": True, "injected": True}, "dns.nxdomain"),
        ({"kind": Kind.EMPTY, "contradicted": True}, "dns.resolver_limits"),
        ({"kind": Kind.EMPTY, "contradicted": True, "sibling": True}, "dns.no_record"),
        ({"kind": Kind.SERVFAIL, "limits": True, "sibling": True}, "dns.other_family_answered"),
        ({"kind": Kind.NXDOMAIN, "authority": True}, "dns.authority_differs"),
        ({"kind": Kind.DNS_REFUSED, "authority": True}, "dns.authority_differs"),
        ({"kind": Kind.TIMEOUT, "authority": True, "asked_again": True}, "dns.unclear"),
        ({"kind": Kind.NXDOMAIN, "authority": True, "reach": Reach.SAME}, "dns.failure_everywhere"),
        ({"kind": Kind.DNS_REFUSED}, "dns.asked_once"),
        ({"kind": Kind.DNS_REFUSED, "asked_again": True}, "dns.refused"),
        ({"kind": Kind.TIMEOUT, "asked_again": True, "others": True}, "dns.timeout"),
        ({"kind": Kind.TIMEOUT, "asked_again": True}, "dns.unclear"),
        ({"kind": Kind.TIMEOUT, "others": True}, "dns.asked_once"),
        ({"kind": Kind.OTHER}, "dns.unclear"),
    ],
)
def test_first_match(given: dict[str, Any], rule: str) -> None:
    facts = LookupFacts(**{"kind": Kind.OK, "reach": Reach.PASSED} | given)
    found = first(DNS_RULES, facts)
    assert found is not None
    assert found.id == rule


V4_ALONE = (dns(A1), dns(qtype="AAAA"), tcp(A1), tls(A1))


def test_a_control_that_rightly_gets_no_address_passes() -> None:
    beyond = [control(*V4_ALONE)]
    forged = judge(measured(dns(A1), dns("::1", qtype="AAAA"), *V4_ALONE[2:]), alive(), beyond)
    assert (forged.state, forged.technique) == ("impaired", "dns.injection.bogon")
    assert "control_fails" not in forged.evidence
    gone = {"failure": Failure.DNS_NXDOMAIN}
    denied = judge(measured(dns(**gone), dns(qtype="AAAA", **gone)), alive(), beyond)
    assert (denied.technique, denied.evidence) == ("dns.nxdomain", ())


@pytest.mark.parametrize("failure", [None, *UNANSWERED_SO])
def test_other_answers_for_ipv6_than_the_controls_none_accuse_nobody(failure: str | None) -> None:
    """A server of another region that has IPv6, and servers that mishandle AAAA."""
    here = [dns(V6, qtype="AAAA"), tcp(V6), tls(V6)]
    if failure is not None:
        here = [dns(qtype="AAAA", failure=failure)]
    said = judge(measured(dns(A1), tcp(A1), tls(A1), *here), alive(), [control(*V4_ALONE)])
    assert said.state == "ok"


@pytest.mark.parametrize(
    ("later", "remarks", "forged"),
    [
        ([[A1]], (), True),
        ([[]], (), False),  # the same twice
        ([], (), False),
        # A resolver that is asked twice may fail once.
        ([[A1]], ("sent_again",), False),
    ],
)
def test_a_public_resolver_that_fails_and_then_answers_was_spoken_for(
    later: list[list[str]], remarks: tuple[str, ...], forged: bool
) -> None:
    failed = {"failure": Failure.DNS_SERVFAIL}
    there = reference(later=later, evidence=remarks, **failed)
    limits = dns(name="harmless.example", **contrast(Contrast.INNOCUOUS_NAME), **failed)
    said = judge(measured(dns(**failed), there, limits), alive(), [control()])
    assert (said.technique == "dns.servfail") is forged
    assert ("on_path" in said.evidence) is forged


@pytest.mark.parametrize(
    ("again", "rule"),
    [
        (None, "dns.nxdomain"),  # a probe of an older version
        (Failure.DNS_NXDOMAIN, "dns.nxdomain"),
        (Failure.TIMEOUT, "dns.asked_once"),
    ],
)
def test_a_denial_counts_when_it_is_repeated(again: str | None, rule: str) -> None:
    denied = [dns(failure=Failure.DNS_NXDOMAIN)]
    repeated = [dns(failure=again, **REPEAT)] if again else []
    assert judge(measured(*denied, *repeated), alive(), [control()]).rule == rule
    forged = [dns(failure=Failure.DNS_NXDOMAIN, later=[[A1]])]
    assert judge(measured(*forged, *repeated), alive(), [control()]).rule == "dns.nxdomain"
