"""What the rules read, where it is more than copying."""

from __future__ import annotations

from typing import Any

from monitor.detection.facts import Beside, Reach, beside, lookup_facts, reach, tcp_facts, tls_facts
from monitor.detection.kinds import Kind
from monitor.detection.liveness import standing
from monitor.detection.view import view
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation, Certificate
from tests.monitor.detection.scenes import (
    A1,
    A2,
    FORGED,
    INNOCUOUS,
    OWN_HOST,
    REFLECTOR,
    TLS,
    alive,
    control,
    dns,
    foreign,
    measured,
    reference,
    tcp,
    tls,
)


def case(*seen: AnyObservation, controls: Any = None, v6: bool = True) -> Beside:
    views = view(measured(*seen))
    beyond = [control()] if controls is None else controls
    return beside(
        views[TLS.id],
        tuple(views.values()),
        [view(m)[TLS.id] for m, _ in beyond],
        standing(alive(v6=v6)),
    )


def test_reach() -> None:
    assert reach(Kind.RESET, []) is Reach.UNKNOWN
    assert reach(Kind.RESET, [Kind.RESET]) is Reach.SAME
    assert reach(Kind.RESET, [Kind.TIMEOUT]) is Reach.DIFFERENT
    assert reach(Kind.RESET, [Kind.RESET, Kind.OK]) is Reach.PASSED


def test_known_addresses_come_from_controls_and_encrypted_resolvers() -> None:
    assert case(reference("15.0.0.1")).known == {A1, A2}
    assert case(reference("15.0.0.1", transport="dot")).known == {A1, A2, "15.0.0.1"}
    assert case(reference("15.0.0.1", transport="doh"), controls=[]).known == {"15.0.0.1"}


def test_duplicates_on_the_way_are_no_second_answer() -> None:
    assert not lookup_facts(case(dns(FORGED, later=[[FORGED]])), "A").injected
    assert lookup_facts(case(dns(FORGED, later=[[FORGED], [A1]])), "A").injected


def test_bogons_are_relative_to_the_truth() -> None:
    assert lookup_facts(case(dns("10.0.0.1")), "A").bogon
    assert not lookup_facts(case(dns("10.0.0.1", A1)), "A").bogon
    house = control(dns("10.9.9.9"), tcp("10.9.9.9"), tls("10.9.9.9"))
    assert not lookup_facts(case(dns("10.0.0.1"), controls=[house]), "A").bogon
    assert lookup_facts(case(dns("127.0.0.1"), controls=[house]), "A").bogon


def test_dead_answers_are_compared_within_a_living_family() -> None:
    far6, known6 = "2400::77", "2400::1"
    beyond = [control(dns(known6, qtype="AAAA"), tcp(known6), tls(known6))]
    seen = (dns(far6, qtype="AAAA"), tcp(far6, Failure.TIMEOUT), tcp(known6), tls(known6))
    assert lookup_facts(case(*seen, controls=beyond), "AAAA").dead
    assert not lookup_facts(case(*seen, controls=beyond, v6=False), "AAAA").dead
    only4 = (*seen[:2], tcp(A1), tls(A1))
    assert not lookup_facts(case(*only4), "AAAA").dead


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


def test_the_control_at_the_very_address_or_anywhere() -> None:
    here = case(dns(A1), tcp(A1, Failure.TIMEOUT))
    there = case(dns(FORGED), tcp(FORGED, Failure.TIMEOUT))
    down = case(
        dns(A1),
        tcp(A1, Failure.TIMEOUT),
        controls=[control(dns(A1, A2), tcp(A1, Failure.TIMEOUT), tcp(A2))],
    )
    seen = [
        tcp_facts(c, next(iter(c.endpoint.places.values())), False) for c in (here, there, down)
    ]
    assert [(f.reach, f.here) for f in seen if f] == [
        (Reach.PASSED, True),
        (Reach.PASSED, False),
        (Reach.SAME, False),
    ]


def test_untried_steps_have_no_facts() -> None:
    untried = case(tls(A1, Failure.RESET), tls(A1, **INNOCUOUS))
    place = untried.endpoint.places[A1, 443]
    assert tcp_facts(untried, place, False) is None
    facts = tls_facts(untried, place, False)
    assert facts is not None
    assert facts.by_name
    assert not facts.whatever_name
