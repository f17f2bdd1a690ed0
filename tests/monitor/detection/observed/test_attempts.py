"""Which attempt stands for a step at an address, and how all of them ended."""

from __future__ import annotations

import pytest

from monitor.detection.observed.attempts import Attempts
from monitor.detection.observed.kinds import Kind, tls_kind
from probes.wire.failure import Failure
from probes.wire.observation import TLSHandshake
from tests.monitor.detection.scenes import A1, BESIDE, CLASSICAL, INNOCUOUS, REPEAT, tls

PASSED, RESET, SILENT = tls(A1), tls(A1, Failure.RESET), tls(A1, Failure.TIMEOUT)


def attempts(*seen: TLSHandshake) -> Attempts[TLSHandshake]:
    tried: Attempts[TLSHandshake] = Attempts(tls_kind)
    for handshake in seen:
        tried.add(handshake)
    return tried


@pytest.mark.parametrize(
    ("seen", "stands"),
    [
        ((), None),
        ((RESET, SILENT), RESET),
        ((RESET, PASSED), PASSED),
        ((PASSED, RESET), PASSED),
        ((tls(A1, **REPEAT),), None),
        ((tls(A1, **INNOCUOUS),), None),
        ((tls(A1, **BESIDE),), None),
    ],
)
def test_the_first_success_stands_else_the_first_failure(
    seen: tuple[TLSHandshake, ...], stands: TLSHandshake | None
) -> None:
    tried = attempts(*seen)
    assert tried.subject is stands
    assert tried.tried is (stands is not None)
    assert tried.kind is (None if stands is None else tls_kind(stands))


def test_contrasts_have_places_of_their_own() -> None:
    again, harmless, beside = tls(A1, **REPEAT), tls(A1, **INNOCUOUS), tls(A1, **BESIDE)
    tried = attempts(RESET, again, harmless, beside, tls(A1, **CLASSICAL))
    assert (tried.subject, tried.innocuous, tried.beside) == (RESET, harmless, beside)
    assert tried.every == [RESET, again]
    assert tried.kinds == [Kind.RESET, Kind.OK]
    assert (tried.innocuous_kind, tried.innocuous_kinds) == (Kind.OK, [Kind.OK])


def test_a_repeat_that_passed_is_a_pass() -> None:
    assert not attempts(RESET, tls(A1, Failure.RESET, **REPEAT)).passed
    for seen in ((RESET, tls(A1, **REPEAT)), (PASSED, tls(A1, Failure.RESET, **REPEAT))):
        assert attempts(*seen).passed


def test_values_share_no_list() -> None:
    attempts(RESET)
    assert attempts().every == []
