"""How a resolver treats other names."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from monitor.detection.judge.target import judge
from monitor.detection.model import Verdict
from probes.wire.failure import Failure
from probes.wire.observation import UNCHECKED, AnyObservation, Contrast, DNSReply, Purpose
from tests.monitor.detection.scenes import (
    A1,
    A2,
    BELOW,
    FORGED,
    REPEAT,
    V6,
    alive,
    contrast,
    control,
    dns,
    endpoint,
    measured,
    reference,
    tcp,
    tls,
)


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


def test_a_zone_whose_signatures_do_not_hold_for_the_resolver() -> None:
    """Who forbids the name gives no right address for it, whether signatures are checked or not."""

    def said(*unchecked: AnyObservation) -> tuple[str, str | None]:
        failed = {"failure": Failure.DNS_SERVFAIL}
        seen = [dns(qtype=q, **failed, **c) for q in ("A", "AAAA") for c in ({}, REPEAT)]
        verdict = judge(measured(*seen, reference(A1), *unchecked), alive(), [control()])
        return verdict.state, verdict.rule

    off = {"evidence": (UNCHECKED,), "purpose": Purpose.CONTRAST, "contrast": Contrast.REPEAT}
    assert said() == ("blocked", "dns.servfail")
    assert said(dns(A1, **off)) == ("inconclusive", "dns.unchecked_answer")
    assert said(dns(FORGED, **off)) == ("blocked", "dns.servfail"), "the lie that did not hold"
    assert said(dns(failure=Failure.DNS_SERVFAIL, **off)) == ("blocked", "dns.servfail")


@pytest.mark.parametrize("how", [Failure.DNS_SERVFAIL, Failure.TIMEOUT])
def test_a_large_answer_that_is_lost(how: Failure) -> None:
    many = [f"11.0.1.{n}" for n in range(40)]

    def said(*beside: AnyObservation, more: tuple[str, ...] = tuple(many)) -> str | None:
        seen = [dns(qtype=q, failure=how, **c) for q in ("A", "AAAA") for c in ({}, REPEAT)]
        there = control(dns(A1, *more), tcp(), tls())
        return judge(measured(*seen, *beside), alive(), [there]).rule

    filtered = {Failure.DNS_SERVFAIL: "dns.servfail", Failure.TIMEOUT: "dns.timeout"}[how]
    below = dns(failure=Failure.DNS_NXDOMAIN, **BELOW)
    assert said(below) == filtered, "the one for IPv6 is small, or none"
    large = reference(*(f"2400::1:{n}" for n in range(40)), qtype="AAAA")
    assert said(below, large) == "dns.large_answer"
    small = reference(V6, qtype="AAAA")
    assert said(below, small, more=()) == said(below, small) == filtered
    assert said(large) == filtered, "it is not known whether all below it is filtered"
    assert said(large, dns(failure=how, **BELOW)) == filtered
    aliases = DNSReply(after_us=1, rcode=0, answers=(V6,), cnames=("x" * 200, "y" * 200, "z" * 60))
    assert said(below, replace(reference(V6, qtype="AAAA"), replies=(aliases,))) == (
        "dns.large_answer"
    )


@pytest.mark.parametrize("how", [Failure.DNS_SERVFAIL, Failure.DNS_NXDOMAIN, Failure.DNS_NO_ANSWER])
def test_a_resolver_that_fails_several_names_that_nobody_blocks(how: Failure) -> None:
    refs = [endpoint("tls", f"l{n}.example") for n in range(5)]

    def said(failed: int) -> Verdict:
        seen: list[AnyObservation] = []
        for n, ref in enumerate(refs):
            for qtype, address in (("A", f"14.0.0.{n}"), ("AAAA", f"2500::{n}")):
                end = how if n < failed else None
                answers = () if end else (address,)
                seen.append(dns(*answers, at=ref, qtype=qtype, failure=end))
            if n >= failed:
                seen += [tcp(f"14.0.0.{n}", at=ref), tls(f"14.0.0.{n}", at=ref)]
        liveness = measured(*seen, endpoints=tuple(refs), target="liveness/international")
        asked = [dns(failure=how, qtype=q, **c) for q in ("A", "AAAA") for c in ({}, REPEAT)]
        return judge(measured(*asked), [liveness], [control()])

    for failed in (0, 1):
        assert said(failed).state == "blocked"
    faulty = said(2)
    assert (faulty.state, faulty.rule) == ("inconclusive", "dns.resolver_limits")


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
