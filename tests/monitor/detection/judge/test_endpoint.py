"""How lookups and addresses make up an endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.judge.endpoint import EndpointJudgement, judge_endpoint
from monitor.detection.judge.target import judge
from monitor.detection.model import State
from monitor.detection.observed.endpoint_context import endpoint_context
from monitor.detection.observed.liveness import vantage_status
from monitor.detection.observed.view import view
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation
from tests.monitor.detection.app_scenes import CHAT, app
from tests.monitor.detection.scenes import (
    A1,
    A2,
    A3,
    CONTROL_PROBE,
    DNS,
    FORGED,
    HTTPS,
    INNOCUOUS,
    REPEAT,
    TLS,
    V6,
    alive,
    control,
    dns,
    http,
    measured,
    reference,
    tcp,
    tls,
)

TIMEOUT, NXDOMAIN = Failure.TIMEOUT, Failure.DNS_NXDOMAIN
SIX = dns(V6, qtype="AAAA")
DEAD = (tcp(A2, TIMEOUT), tcp(A2, TIMEOUT, **REPEAT))


def judged(*seen: AnyObservation, at: Any = TLS, v6: bool = True) -> EndpointJudgement:
    fine = (
        dns(A1, A2, at=at),
        dns(V6, at=at, qtype="AAAA"),
        *(tcp(a, at=at) for a in (A1, A2, V6)),
        *(tls(a, at=at) for a in (A1, A2, V6)),
        http(A1, at=HTTPS),
        *((app(A1), app(A2)) if at is CHAT else ()),
    )
    views = view(measured(*seen, endpoints=(at,)))
    beyond, _ = control(*fine, endpoints=(at,))
    return judge_endpoint(
        endpoint_context(
            views[at.id],
            tuple(views.values()),
            [view(beyond)[at.id]],
            vantage_status(alive(v6=v6)),
        )
    )


@pytest.mark.parametrize(
    ("seen", "state", "works"),
    [
        ((), State.INSUFFICIENT, False),
        ((dns(A1),), State.INSUFFICIENT, False),
        ((dns(A1), tcp(A1)), State.INSUFFICIENT, False),
        ((dns(A1), tcp(A1), tls(A1)), State.OK, True),
        ((dns(A1), tcp(A1, TIMEOUT)), State.BLOCKED, False),
        ((dns(A1, A2), tcp(A1), tls(A1), *DEAD), State.IMPAIRED, True),
        # One attempt at one address of several may be chance.
        ((dns(A1, A2), tcp(A1), tls(A1), DEAD[0]), State.OK, True),
        ((dns(A1, A3), tcp(A1), tls(A1), tcp(A3, TIMEOUT)), State.OK, True),
        ((dns(A1, A3), tcp(A1, TIMEOUT), tcp(A3, TIMEOUT)), State.BLOCKED, False),
        ((dns(failure=NXDOMAIN), tcp(A1), tls(A1)), State.BLOCKED, False),
        ((dns(A1), dns(failure=NXDOMAIN, qtype="AAAA"), tcp(A1), tls(A1)), State.IMPAIRED, True),
        ((dns(FORGED), tcp(FORGED, TIMEOUT), tcp(A1), tls(A1)), State.INCONCLUSIVE, False),
        ((dns(A1), SIX, tcp(A1), tls(A1), tcp(V6, TIMEOUT)), State.IMPAIRED, True),
        ((dns(failure=TIMEOUT),), State.INCONCLUSIVE, False),
    ],
)
def test_states(seen: tuple[AnyObservation, ...], state: State, works: bool) -> None:
    said = judged(*seen)
    assert (said.state, said.works) == (state, works)


def test_a_dead_family_is_the_vantages_own() -> None:
    seen = (dns(A1), SIX, tcp(A1), tls(A1), tcp(V6, TIMEOUT))
    assert judged(*seen, v6=False).state is State.OK
    assert judged(SIX, tcp(V6, TIMEOUT), v6=False).state is State.INCONCLUSIVE


def test_a_weak_sign_in_one_family_is_no_accusation() -> None:
    """The other family works: SERVFAIL or dead servers in one are everyday trouble."""
    far = (dns("2400::77", qtype="AAAA"), tcp("2400::77", TIMEOUT), tcp(V6), tls(V6))
    assert judged(dns(A1), tcp(A1), tls(A1), *far).state is State.OK
    assert judged(dns(A1), tcp(A1), tls(A1), dns("10.0.0.1", qtype="AAAA")).state is State.IMPAIRED


def test_a_strong_signature_accuses_one_address_by_itself() -> None:
    seen = (dns(A1, A3), tcp(A1), tls(A1), tcp(A3), tls(A3, Failure.RESET), tls(A3, **INNOCUOUS))
    assert judged(*seen).state is State.IMPAIRED


def test_names_only() -> None:
    assert judged(dns(A1, at=DNS), at=DNS).state is State.OK
    assert judged(dns(failure=NXDOMAIN, at=DNS), at=DNS).state is State.BLOCKED


def test_one_request_speaks_for_the_endpoint() -> None:
    shaken = (
        dns(A1, A2, at=HTTPS),
        *(o for a in (A1, A2) for o in (tcp(a, at=HTTPS), tls(a, at=HTTPS))),
    )
    assert judged(*shaken, at=HTTPS).state is State.INSUFFICIENT
    assert judged(*shaken, http(A1, at=HTTPS), at=HTTPS).state is State.OK
    law = http(A1, at=HTTPS, status=451)
    assert judged(*shaken, law, at=HTTPS).state is State.BLOCKED


def test_an_injector_that_draws_from_a_pool_is_one_of_dns() -> None:
    """Each resolver's answer is forged with another address, and all of them are dead. Were one of
    them an address of the service, connecting would be what is blocked."""
    pool = ("12.9.9.1", "12.9.9.2", "12.9.9.3")
    seen = (
        dns(pool[0], later=[[A1, A2]]),
        reference(pool[1], later=[[A1, A2]]),
        reference(pool[2], resolver="other"),
        reference(A1, A2, transport="doh"),
        *(tcp(a, TIMEOUT, **again) for a in pool for again in ({}, REPEAT, REPEAT)),
        *(step for a in (A1, A2) for step in (tcp(a), tls(a))),
    )
    said = judge(measured(*seen), alive(), [control()])
    assert (said.state, said.technique) == ("blocked", "dns.injection.other")
    assert judged(*seen).forged == set(pool)


def test_forged_answers_are_counted_even_when_not_dialled() -> None:
    assert judged(dns("10.0.0.1")).forged == {"10.0.0.1"}


def test_a_connection_alone_is_no_address_that_works() -> None:
    """The deeper step was tried at the address of another resolver only."""
    for at, deeper in ((HTTPS, (tls(A2, at=HTTPS), http(A2, at=HTTPS))), (CHAT, (app(A2),))):
        seen = (dns(A1, at=at), tcp(A1, at=at), tcp(A2, at=at), *deeper)
        said = judged(*seen, at=at)
        assert (said.state, [a.begun for a in said.addresses]) == (
            State.INSUFFICIENT,
            [True, False],
        )
    assert judged(dns(A1, at=CHAT), tcp(A1, at=CHAT), app(A1), at=CHAT).state is State.OK


def test_a_family_that_no_control_tried_accuses_nobody() -> None:
    """The control has no IPv6: its machine says so, and that is no failure of the service."""
    seen = (
        dns(A1),
        SIX,
        tcp(A1),
        tls(A1),
        tcp(V6, Failure.REFUSED, errno=111),
        tcp(V6, Failure.REFUSED, errno=111, **REPEAT),
    )
    unreachable = tcp(V6, Failure.NETWORK_UNREACHABLE, errno=101)
    for there, v6, state in (
        ((tcp(V6), tls(V6)), True, State.IMPAIRED),
        ((unreachable,), False, State.OK),
        ((), False, State.OK),
    ):
        beyond, _ = control(dns(A1), SIX, tcp(A1), tls(A1), *there)
        said = judge(measured(*seen), alive(), [(beyond, alive(probe=CONTROL_PROBE, v6=v6))])
        assert said.state is state
        assert "control_fails" not in said.evidence
