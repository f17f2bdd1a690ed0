"""Addresses that proved themselves in earlier rounds, and are dead now."""

from __future__ import annotations

import pytest

from probes.rounds.proven_addresses import KEPT_MS, MOST, ProvenAddresses
from probes.wire.failure import Failure
from probes.wire.observation import PROVEN_BEFORE, AnyObservation
from tests.monitor.detection.scenes import A1, A2, INNOCUOUS, QUIC, REPEAT, quic, tcp, tls

NAME, NOW = "chat.example", 1_700_000_000_000
DEAD = tcp(A1, Failure.TIMEOUT)


def marked(*later: AnyObservation, after_ms: int = 1, first: AnyObservation) -> list[bool]:
    kept = ProvenAddresses()
    assert kept.remarked(NAME, [first], NOW) == [first]
    return [PROVEN_BEFORE in each.evidence for each in kept.remarked(NAME, later, NOW + after_ms)]


@pytest.mark.parametrize(
    ("first", "later", "expected"),
    [
        (tls(A1), DEAD, True),
        (tls(A1, **REPEAT), DEAD, True),
        (quic(A1, at=QUIC), quic(A1, Failure.TIMEOUT, at=QUIC), True),
        (tls(A1), tcp(A1), False),
        (tls(A1), tcp(A1, Failure.TIMEOUT, **REPEAT), False),
        (tls(A2), DEAD, False),
        (tls(A1, Failure.RESET), DEAD, False),
        (tls(A1, **INNOCUOUS), DEAD, False),
    ],
)
def test_what_proves_and_what_is_marked(
    first: AnyObservation, later: AnyObservation, expected: bool
) -> None:
    assert marked(later, first=first) == [expected]


def test_it_is_forgotten_after_hours() -> None:
    assert marked(DEAD, first=tls(A1), after_ms=KEPT_MS - 1) == [True]
    assert marked(DEAD, first=tls(A1), after_ms=KEPT_MS) == [False]


def test_names_are_kept_apart_and_addresses_are_bounded() -> None:
    kept = ProvenAddresses()
    kept.remarked(NAME, [tls(A1)], NOW)
    assert kept.remarked("other.example", [DEAD], NOW + 1) == [DEAD]
    kept.remarked(NAME, [tls(f"11.1.0.{n}") for n in range(MOST)], NOW + 2)
    assert kept.remarked(NAME, [DEAD], NOW + 3) == [DEAD]
