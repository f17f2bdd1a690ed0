"""What an endpoint is compared with, and what TCP and TLS make of it."""

from __future__ import annotations

from monitor.detection.layers.tcp import tcp_facts
from monitor.detection.layers.tls import tls_facts
from monitor.detection.observed.endpoint_context import (
    Reach,
    reach,
)
from monitor.detection.observed.kinds import Kind
from probes.wire.failure import Failure
from tests.monitor.detection.dns_scenes import case
from tests.monitor.detection.scenes import (
    A1,
    A2,
    FORGED,
    INNOCUOUS,
    alive,
    control,
    dns,
    measured,
    reference,
    tcp,
    tls,
)


def test_reach() -> None:
    assert reach(Kind.RESET, []) is Reach.UNKNOWN
    assert reach(Kind.RESET, [Kind.RESET]) is Reach.SAME
    assert reach(Kind.RESET, [Kind.TIMEOUT]) is Reach.DIFFERENT
    assert reach(Kind.RESET, [Kind.RESET, Kind.OK]) is Reach.PASSED


def test_a_control_that_did_not_get_as_far_failed_too() -> None:
    gone = dns(failure=Failure.DNS_NXDOMAIN)
    for seen, found in (
        ((gone,), Reach.EARLIER),
        ((dns(A1), tcp(A1, Failure.TIMEOUT)), Reach.EARLIER),
        ((dns(failure=Failure.DNS_SERVFAIL),), Reach.DIFFERENT),
        ((dns(A1), tcp(A1)), Reach.UNKNOWN),
        ((dns(A1),), Reach.UNKNOWN),
        ((), Reach.UNKNOWN),
    ):
        context = case(dns(A1), tcp(A1), controls=[(measured(*seen), alive())])
        assert context.reach(Kind.RESET, []) is found
        assert context.reach(Kind.RESET, [Kind.OK]) is Reach.PASSED
        assert found.fails_too is (found is Reach.EARLIER)
    assert case(dns(A1), controls=[]).reach(Kind.RESET, []) is Reach.UNKNOWN


def test_known_addresses_come_from_controls_and_encrypted_resolvers() -> None:
    assert case(reference("15.0.0.1")).known == {A1, A2}
    assert case(reference("15.0.0.1", transport="dot")).known == {A1, A2, "15.0.0.1"}
    assert case(reference("15.0.0.1", transport="doh"), controls=[]).known == {"15.0.0.1"}


def test_the_control_at_the_very_address_or_anywhere() -> None:
    here = case(dns(A1), tcp(A1, Failure.TIMEOUT))
    there = case(dns(FORGED), tcp(FORGED, Failure.TIMEOUT))
    down = case(
        dns(A1),
        tcp(A1, Failure.TIMEOUT),
        controls=[control(dns(A1, A2), tcp(A1, Failure.TIMEOUT), tcp(A2))],
    )
    seen = [
        tcp_facts(c, next(iter(c.endpoint.addresses.values())), False) for c in (here, there, down)
    ]
    assert [(f.reach, f.here) for f in seen if f] == [
        (Reach.PASSED, True),
        (Reach.PASSED, False),
        (Reach.SAME, False),
    ]


def test_untried_steps_have_no_facts() -> None:
    untried = case(tls(A1, Failure.RESET), tls(A1, **INNOCUOUS))
    place = untried.endpoint.addresses[A1, 443]
    assert tcp_facts(untried, place, False) is None
    facts = tls_facts(untried, place, False)
    assert facts is not None
    assert facts.contrasts.by_name
    assert not facts.contrasts.whatever_name
