"""Whether the name still leads to the addresses that failed, by what other resolvers gave."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from monitor.detection.judge.other_answers import OtherAnswer, other_answers, others_work
from monitor.detection.judge.round_facts import facts_of
from monitor.detection.model import Layer, Stored
from monitor.detection.observed.view import view
from monitor.detection.policy import Policy
from probes.wire.failure import Failure
from probes.wire.measurement import EndpointRef, Role, Vantage
from probes.wire.observation import AnyObservation
from tests.monitor.detection.scenes import (
    A1,
    A2,
    A3,
    CONTROL_PROBE,
    FORGED,
    ROUND,
    TLS,
    V6,
    alive,
    dns,
    endpoint,
    foreign,
    measured,
    reference,
    tcp,
    tls,
)

DIES, RESET = Failure.TIMEOUT, Failure.RESET
OLD = (dns(A1), tcp(A1, DIES))
"""The vantage's own resolver gives an address that is silent."""
ELSEWHERE = endpoint("tls", host="chat.example")
LITERAL = EndpointRef(id=f"{A1}:443/tls", protocol="tls")


def compared(*seen: AnyObservation, endpoints: Sequence[EndpointRef] = (TLS,)) -> list[bool]:
    return [answer.works for answer in other_answers(view(measured(*seen, endpoints=endpoints)))]


@pytest.mark.parametrize(
    ("others", "works"),
    [
        ((reference(A2), tcp(A2), tls(A2)), [True]),
        ((reference(A1, A2), tcp(A2), tls(A2)), [True]),
        ((reference(A1),), [False]),
        ((reference(A2), tcp(A2, DIES)), [False]),
        ((reference(A2), tcp(A2), tls(A2, RESET)), [False]),
        ((reference(A2), tcp(A2), foreign(A2)), [False]),
        ((reference(A2, A3), tcp(A2, DIES), tcp(A3), tls(A3)), [True]),
        ((reference(A2),), []),
        ((reference(A2), tcp(A2)), []),
        ((reference(failure=DIES),), []),
        ((), []),
        ((reference(V6, qtype="AAAA"), tcp(V6), tls(V6)), []),
    ],
    ids=[
        *("others work", "one of them works", "the same", "others are silent", "others are reset"),
        *("others show another certificate", "one of others works", "not dialled"),
        *("nobody proved itself", "no answer", "nobody asked", "of the other family alone"),
    ],
)
def test_what_others_give_is_compared(
    others: tuple[AnyObservation, ...], works: list[bool]
) -> None:
    assert compared(*OLD, *others) == works


def test_where_an_own_address_works_nothing_is_compared() -> None:
    assert compared(dns(A1, A2), tcp(A1, DIES), tcp(A2), tls(A2), reference(A1)) == []
    both = (*OLD, dns(V6, qtype="AAAA"), tcp(V6), tls(V6), reference(A3), tcp(A3), tls(A3))
    assert compared(*both) == [True], "of this family none works"


def test_nobody_gives_another_address_than_the_catalogue() -> None:
    assert compared(tcp(A1, DIES, at=LITERAL), endpoints=(LITERAL,)) == [False]


def test_one_endpoint_that_fails_everywhere_outweighs_another_that_has_moved() -> None:
    moved, dead = OtherAnswer(TLS.id, 4, True), OtherAnswer(ELSEWHERE.id, 4, False)
    failed = [(TLS.id, A1), (ELSEWHERE.id, A2)]
    assert others_work((moved, dead), failed) is False
    assert others_work((moved, dead), failed[:1]) is True
    assert others_work((moved,), [(TLS.id, V6)]) is None, "another family failed"
    assert others_work((), failed) is None


def fact_of(*seen: AnyObservation) -> tuple[str | None, bool | None]:
    """Layer and comparison of a vantage's measurement beside a control that is answered."""
    works = (dns(A1, A2), tcp(A1), tls(A1), tcp(A2), tls(A2))
    place = Vantage(country="NL", asn=64510, role=Role.CONTROL)
    stored = [
        Stored(measurement=measurement, owner=role, role=role, enrolled=7)
        for role, measurements in {
            Role.VANTAGE: (measured(*seen), *alive()),
            Role.CONTROL: (
                measured(*works, probe=CONTROL_PROBE, vantage=place),
                *alive(probe=CONTROL_PROBE),
            ),
        }.items()
        for measurement in measurements
    ]
    (fact,) = facts_of(stored, ROUND, Policy())
    return fact.verdict.layer, fact.others_work


def test_a_judged_measurement_says_whether_its_service_moved() -> None:
    assert fact_of(*OLD, reference(A2), tcp(A2), tls(A2)) == (Layer.TCP, True)
    assert fact_of(*OLD, reference(A1)) == (Layer.TCP, False)
    assert fact_of(*OLD) == (Layer.TCP, None)
    forged = (dns(FORGED), tcp(FORGED), foreign(FORGED), reference(A1), tcp(A1), tls(A1))
    assert fact_of(*forged) == (Layer.DNS, None), "the name was forged, whatever it leads to"
