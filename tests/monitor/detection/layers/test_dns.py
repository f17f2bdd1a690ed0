"""DNS: what is read, and the order of the rules."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from monitor.detection.judge.target import judge
from monitor.detection.layers.dns import DNS_RULES, LookupFacts
from monitor.detection.model import Verdict
from monitor.detection.observed.endpoint_context import Reach
from monitor.detection.observed.kinds import Kind
from monitor.detection.rule import first
from probes.wire.failure import Failure
from probes.wire.measurement import Vantage
from probes.wire.observation import AnyObservation, Contrast, DNSLookup
from tests.monitor.detection.app_scenes import CHAT, app
from tests.monitor.detection.grouped import grouped
from tests.monitor.detection.scenes import (
    A1,
    A2,
    FORGED,
    HTTP,
    REPEAT,
    TLS,
    V6,
    alive,
    contrast,
    control,
    dns,
    endpoint,
    foreign,
    http,
    measured,
    reference,
    tcp,
    tls,
)

INJECTED = "dns.injection.other"


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


@pytest.mark.parametrize(
    ("page", "state"),
    [
        ({"title": "Chat"}, "ok"),
        ({"title": "Other"}, "blocked"),
        ({}, "blocked"),
        ({"title": "Chat", "status": 404}, "blocked"),
    ],
)
def test_two_answers_at_the_first_of_which_the_page_is_the_services(
    page: dict[str, Any], state: str
) -> None:
    """A query that is doubled on its way to a farm of resolvers gets two answers."""
    answers = dns(FORGED, later=[[A2]], at=HTTP)
    seen = measured(answers, tcp(FORGED, at=HTTP), http(FORGED, **page), endpoints=(HTTP,))
    there = control(dns(A1, at=HTTP), tcp(A1, at=HTTP), http(A1, title="Chat"), endpoints=(HTTP,))
    said = judge(seen, alive(), [there])
    assert (said.state, said.technique) == (state, None if state == "ok" else INJECTED)


@pytest.mark.parametrize(("failure", "state"), [(None, "ok"), (Failure.TIMEOUT, "blocked")])
def test_two_answers_at_the_first_of_which_the_app_answers(
    failure: Failure | None, state: str
) -> None:
    again = () if failure is None else (app(FORGED, failure, **REPEAT),)
    spoken = tcp(FORGED, at=CHAT), app(FORGED, failure), *again
    seen = measured(dns(FORGED, later=[[A2]], at=CHAT), *spoken, endpoints=(CHAT,))
    there = control(dns(A1, at=CHAT), tcp(A1, at=CHAT), app(A1), endpoints=(CHAT,))
    said = judge(seen, alive(), [there])
    assert (said.state, said.technique) == (state, None if state == "ok" else INJECTED)


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


@pytest.mark.parametrize("resolver", ["private", "public"])
def test_a_filter_that_is_not_the_networks_is_said_to_be_possible(resolver: str) -> None:
    remark = {"private": "local_resolver", "public": "public_resolver"}[resolver]
    place = Vantage(country="RU", asn=1, resolver_class=resolver)
    seen = [dns("0.0.0.0"), reference(A1)]
    said = judge(measured(*seen, vantage=place), alive(), [control()])
    assert (said.state, said.technique) == ("blocked", "dns.injection.bogon")
    assert set(said.evidence) == {remark, "lying_resolver", "made_up", "others_answer"}
    forged = [dns("0.0.0.0", later=[[A1]]), reference(A1)]
    assert remark not in judge(measured(*forged, vantage=place), alive(), []).evidence
    network = Vantage(country="RU", asn=1, resolver_class="isp")
    assert remark not in judge(measured(*seen, vantage=network), alive(), [control()]).evidence


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
        ({"injected": True, "serves": True}, "dns.answer_alone"),
        ({"foreign": True}, "dns.answer_alone"),
        ({"foreign": True, "others_known": True}, "dns.foreign_certificate"),
        ({"below": True, "others_known": True}, "dns.forged_below"),
        ({"below": True, "others_known": True, "foreign": True}, "dns.foreign_certificate"),
        ({"below": True, "others_known": True, "untried": True}, "dns.answer_unmatched"),
        ({"below": True, "others_known": True, "by_name": True}, "dns.answer_unmatched"),
        ({"below": True}, "dns.answer_alone"),
        ({"dead": True, "on_path": True}, "dns.dead_answer"),
        ({"dead": True, "on_path": True, "by_name": True}, "dns.answer_alone"),
        ({"dead": True, "on_path": True, "led": True}, "dns.answer_alone"),
        ({"foreign": True, "others_known": True, "zone_kept": True}, "dns.old_answer"),
        ({"other_page": True, "others_known": True, "zone_kept": True}, "dns.old_answer"),
        ({"foreign": True, "zone_kept": True, "page": "x"}, "dns.blockpage"),
        ({"foreign": True, "zone_kept": True, "injected": True}, "dns.injected"),
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
        (
            {"kind": Kind.SERVFAIL, "asked_again": True, "unchecked_right": True},
            "dns.unchecked_answer",
        ),
        (
            {
                "kind": Kind.SERVFAIL,
                "asked_again": True,
                "unchecked_right": True,
                "injected": True,
            },
            "dns.servfail",
        ),
        ({"kind": Kind.SERVFAIL, "asked_again": True, "lost_by_size": True}, "dns.large_answer"),
        ({"kind": Kind.SERVFAIL, "limits": True}, "dns.resolver_limits"),
        ({"kind": Kind.TIMEOUT, "limits": True}, "dns.resolver_limits"),
        ({"kind": Kind.SERVFAIL, "asked_again": True, "by_chance": True}, "dns.background"),
        ({"kind": Kind.TIMEOUT, "by_chance": True, "answers_others": True}, "dns.background"),
        ({"kind": Kind.NXDOMAIN, "limits": True}, "dns.nxdomain"),
        ({"kind": Kind.SERVFAIL, "fails_alike": True}, "dns.resolver_limits"),
        ({"kind": Kind.NXDOMAIN, "fails_alike": True}, "dns.resolver_limits"),
        (
            {"kind": Kind.SERVFAIL, "fails_alike": True, "sibling": True},
            "dns.other_family_answered",
        ),
        ({"kind": Kind.NXDOMAIN, "fails_alike": True, "injected": True}, "dns.nxdomain"),
        ({"kind": Kind.NXDOMAIN, "contradicted": True}, "dns.resolver_limits"),
        ({"kind": Kind.NXDOMAIN, "contradicted": True, "sibling": True}, "dns.resolver_limits"),
        ({"kind": Kind.NXDOMAIN, "contradicted": True, "injected": True}, "dns.nxdomain"),
        ({"kind": Kind.EMPTY, "contradicted": True}, "dns.resolver_limits"),
        ({"kind": Kind.EMPTY, "contradicted": True, "sibling": True}, "dns.no_record"),
        ({"kind": Kind.SERVFAIL, "limits": True, "sibling": True}, "dns.other_family_answered"),
        ({"kind": Kind.NXDOMAIN, "by_authority": True}, "dns.authority_differs"),
        ({"kind": Kind.DNS_REFUSED, "by_authority": True}, "dns.authority_differs"),
        ({"kind": Kind.TIMEOUT, "by_authority": True, "asked_again": True}, "dns.unclear"),
        (
            {"kind": Kind.NXDOMAIN, "by_authority": True, "reach": Reach.SAME},
            "dns.failure_everywhere",
        ),
        ({"kind": Kind.DNS_REFUSED}, "dns.asked_once"),
        ({"kind": Kind.DNS_REFUSED, "asked_again": True}, "dns.refused"),
        ({"kind": Kind.TIMEOUT, "asked_again": True, "answers_others": True}, "dns.timeout"),
        ({"kind": Kind.TIMEOUT, "asked_again": True}, "dns.unclear"),
        (
            {
                "kind": Kind.TIMEOUT,
                "asked_again": True,
                "answers_others": True,
                "lost_by_size": True,
            },
            "dns.large_answer",
        ),
        ({"kind": Kind.TIMEOUT, "answers_others": True}, "dns.asked_once"),
        ({"kind": Kind.OTHER}, "dns.unclear"),
    ],
)
def test_first_match(given: dict[str, Any], rule: str) -> None:
    facts = grouped(LookupFacts, **{"kind": Kind.OK, "reach": Reach.PASSED} | given)
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
        (None, "dns.nxdomain"),  # it was not repeated
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
