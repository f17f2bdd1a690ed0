"""Which names die at an address, and at an address of ours."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.detection.layers.tls_contrasts import (
    TLSContrasts,
    name_fails_anywhere,
    name_filtered,
    tls_contrasts,
)
from monitor.detection.observed.background import RoundBackground
from monitor.detection.observed.kinds import Kind
from probes.wire.failure import Failure
from probes.wire.observation import Contrast, TLSHandshake
from tests.monitor.detection.dns_scenes import case
from tests.monitor.detection.scenes import A1, INNOCUOUS, OWN_HOST, REFLECTOR, contrast, tcp, tls

RESET = Kind.RESET
INNOCUOUS_CONNECT = contrast(Contrast.INNOCUOUS_NAME)


@pytest.mark.parametrize(
    ("contrasts", "by_name", "whatever_name", "residual"),
    [
        (TLSContrasts(RESET), False, False, False),
        (TLSContrasts(RESET, innocuous=Kind.OK), True, False, False),
        (TLSContrasts(RESET, innocuous=RESET), False, True, False),
        (TLSContrasts(RESET, innocuous=RESET, tainted=True), False, False, True),
        (TLSContrasts(RESET, RESET, reflector=Kind.OK, tainted=True), False, True, True),
        (TLSContrasts(RESET, RESET, reflector=RESET, tainted=True), True, False, False),
        (TLSContrasts(RESET, reflector=Kind.OK), False, False, False),
        (TLSContrasts(Kind.TIMEOUT, innocuous=RESET), True, False, False),
        (TLSContrasts(RESET, innocuous=Kind.EOF), False, True, False),
        (TLSContrasts(RESET, innocuous=Kind.ALERT), True, False, False),
        (TLSContrasts(Kind.ALERT, innocuous=Kind.ALERT), False, True, False),
    ],
)
def test_name_or_address(
    contrasts: TLSContrasts, by_name: bool, whatever_name: bool, residual: bool
) -> None:
    assert contrasts.by_name is by_name
    assert contrasts.whatever_name is whatever_name
    assert contrasts.residual_possible is residual


def test_the_contrasts_find_their_places() -> None:
    dead = tls(A1, Failure.RESET, at_us=5)
    context = case(
        tcp(), dead, tls(A1, at_us=9, **INNOCUOUS), tls(REFLECTOR, Failure.RESET, **OWN_HOST)
    )
    (address,) = context.endpoint.addresses.values()
    assert tls_contrasts(context, address, RESET) == TLSContrasts(RESET, Kind.OK, RESET, True)


def test_a_connect_that_died_alike_stands_for_the_innocuous_name() -> None:
    """Any name did so that died already at the connect before it."""
    dead = tls(A1, Failure.RESET)
    for failure, innocuous in ((Failure.RESET, RESET), (Failure.TIMEOUT, None)):
        context = case(tcp(), dead, tcp(A1, failure, errno=104, **INNOCUOUS_CONNECT))
        (address,) = context.endpoint.addresses.values()
        assert tls_contrasts(context, address, RESET).innocuous is innocuous


@pytest.mark.parametrize(
    ("failure", "filtered"), [(None, False), (Failure.RESET, True), (Failure.REFUSED, False)]
)
def test_a_name_is_filtered_where_it_dies_and_another_passes(
    failure: str | None, filtered: bool
) -> None:
    context = case(tcp(), tls(A1, failure), tls(A1, **INNOCUOUS))
    (address,) = context.endpoint.addresses.values()
    assert name_filtered(context, address) is filtered


NOBODY = INNOCUOUS | {"sni": "a1b2c3.example"}


@pytest.mark.parametrize(
    ("ours", "any_name"),
    [
        ([tls(REFLECTOR, Failure.RESET, at_us=20, **NOBODY), tls(REFLECTOR, at_us=30, **INNOCUOUS)],
         True),
        ([tls(REFLECTOR, Failure.EOF, at_us=20, **NOBODY), tls(REFLECTOR, at_us=30, **INNOCUOUS)],
         False),
        ([tls(REFLECTOR, at_us=20, **NOBODY), tls(REFLECTOR, at_us=30, **INNOCUOUS)], False),
        ([tls(REFLECTOR, at_us=20, **INNOCUOUS), tls(REFLECTOR, Failure.RESET, at_us=30, **NOBODY)],
         False),
        ([tls(REFLECTOR, Failure.RESET, at_us=20, **NOBODY)], False),
        ([tls(REFLECTOR, Failure.RESET, at_us=20, **INNOCUOUS),
          tls(REFLECTOR, at_us=30, **INNOCUOUS)], False),
        ([], False),
    ],
    ids=["on no list", "in another way", "passes", "dies after it, as our host may by then",
         "no known name", "one name at times", "not shown"],
)  # fmt: skip
def test_names_on_no_list_die_at_our_own_host(ours: list[TLSHandshake], any_name: bool) -> None:
    dead = tls(A1, Failure.RESET, at_us=5)
    context = case(tcp(), dead, *ours, tls(REFLECTOR, Failure.RESET, at_us=40, **OWN_HOST))
    address = context.endpoint.addresses[A1, 443]
    contrasts = tls_contrasts(context, address, RESET)
    assert contrasts.any_name is any_name
    if any_name:
        assert not name_fails_anywhere(context, contrasts)


def dies_at_ours(*ends: str | None) -> list[TLSHandshake]:
    """An unlisted name, a known one and the service's at our own host, in this order."""
    places = zip((NOBODY, INNOCUOUS, OWN_HOST), ends, strict=True)
    return [tls(REFLECTOR, end, at_us=20 + n, **how) for n, (how, end) in enumerate(places)]


@pytest.mark.parametrize(
    ("ours", "passed_before", "any_host"),
    [
        (dies_at_ours(Failure.RESET, Failure.RESET, Failure.RESET), 0, True),
        (dies_at_ours(Failure.RESET, Failure.RESET, Failure.RESET), 1, False),
        (dies_at_ours(Failure.RESET, Failure.EOF, Failure.RESET), 0, False),
        (dies_at_ours(Failure.RESET, Failure.RESET, None), 0, False),
        (dies_at_ours(None, None, Failure.RESET), 0, False),
        (dies_at_ours(Failure.RESET, Failure.RESET, Failure.RESET)[1:], 0, False),
    ],
    ids=["every name", "one passed in the round", "in two ways", "ours passes", "ours alone",
         "no name that nobody has"],
)  # fmt: skip
def test_every_name_dies_at_our_own_host(
    ours: list[TLSHandshake], passed_before: int, any_host: bool
) -> None:
    context = case(tcp(), tls(A1, Failure.RESET, at_us=5), *ours)
    beside = RoundBackground(reflector_passed=passed_before)
    context = replace(context, vantage=replace(context.vantage, background=beside))
    contrasts = tls_contrasts(context, context.endpoint.addresses[A1, 443], RESET)
    assert contrasts.any_host is any_host
