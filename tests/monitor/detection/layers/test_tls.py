"""TLS rules: the SNI square, and what stands before it."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.judge.target import judge
from monitor.detection.layers.tls import TLS_RULES, TLSFacts
from monitor.detection.observed.endpoint_context import Reach
from monitor.detection.observed.kinds import CERTIFICATE_KINDS, DEATHS, Kind
from monitor.detection.rule import first
from probes.wire.failure import Failure
from tests.monitor.detection.grouped import grouped
from tests.monitor.detection.scenes import (
    A1,
    INNOCUOUS,
    OWN_HOST,
    REFLECTOR,
    REPEAT,
    alive,
    control,
    dns,
    measured,
    tcp,
    tls,
)


def decided(kind: Kind, **given: Any) -> str:
    found = first(TLS_RULES, grouped(TLSFacts, **{"kind": kind, "reach": Reach.PASSED} | given))
    assert found is not None
    return found.id


@pytest.mark.parametrize("kind", DEATHS)
def test_square(kind: Kind) -> None:
    """Innocuous name at the service's address, service's name at our reflector."""
    other = Kind.EOF if kind is not Kind.EOF else Kind.RESET
    assert decided(kind, innocuous=Kind.OK, reflector=kind) == f"tls.{kind}.sni"
    assert decided(kind, innocuous=Kind.OK, reflector=Kind.OK) == f"tls.{kind}.sni"
    assert decided(kind, innocuous=Kind.CA_SIGNED) == f"tls.{kind}.sni"
    assert decided(kind, innocuous=kind, reflector=kind) == f"tls.{kind}.sni"
    assert decided(kind, reflector=kind) == f"tls.{kind}.sni"
    assert decided(kind, innocuous=kind, reflector=Kind.OK) == f"tls.{kind}.other"
    silent = kind is Kind.TIMEOUT  # where another name is hung up on, the path lets it pass
    assert decided(kind, innocuous=other) == f"tls.{kind}.{'sni' if silent else 'other'}"
    assert decided(kind, innocuous=kind, any_host=True) == "tls.any_host"
    assert decided(kind, innocuous=Kind.OK, any_host=True) == f"tls.{kind}.sni"
    assert decided(kind, reflector=Kind.OK) == f"tls.{kind}.untold"
    assert decided(kind) == f"tls.{kind}.untold"


def test_by_name_where_others_are_reset_at_random() -> None:
    """One name that passes once, where another dies, is chance there."""
    for kind in (Kind.RESET, Kind.EOF, Kind.TIMEOUT):
        assert decided(kind, innocuous=Kind.OK, by_chance=True) == "tls.background"
        assert decided(kind, innocuous=kind, by_chance=True) == "tls.background"
        assert decided(kind, innocuous=Kind.OK) == f"tls.{kind}.sni"


@pytest.mark.parametrize(("late_us", "state"), [(6_000_000, "inconclusive"), (900_000, "blocked")])
def test_another_name_that_is_answered_late(late_us: int, state: str) -> None:
    silent = [tls(A1, Failure.TIMEOUT, took_us=10_000_000, **again) for again in ({}, REPEAT)]
    beside = tls(A1, took_us=late_us, **INNOCUOUS)
    said = judge(measured(dns(A1), tcp(A1), *silent, beside), alive(), [control()])
    assert said.state == state


@pytest.mark.parametrize(
    ("late_us", "rule"), [(4_200_000, "tls.background"), (900_000, "tls.timeout.sni")]
)
def test_another_name_that_is_answered_late_at_our_own_host(late_us: int, rule: str) -> None:
    """What our own host alone tells is compared with how long ours was waited for there."""
    silent = [tls(A1, Failure.TIMEOUT, took_us=10_000_000, **again) for again in ({}, REPEAT)]
    other = tls(REFLECTOR, took_us=late_us, **INNOCUOUS)
    ours = tls(REFLECTOR, Failure.TIMEOUT, took_us=5_000_000, **OWN_HOST)
    dies = tls(A1, Failure.TIMEOUT, took_us=5_000_000, **INNOCUOUS)
    said = judge(measured(dns(A1), tcp(A1), *silent, dies, other, ours), alive(), [control()])
    assert said.rule == rule


def test_parts_of_an_answer_are_no_silence() -> None:
    dies = {"innocuous": Kind.TIMEOUT, "reflector": Kind.OK}
    assert decided(Kind.TIMEOUT, **dies) == "tls.timeout.other"
    assert decided(Kind.TIMEOUT, gap=True, **dies) == "tls.large_answer"
    assert decided(Kind.TIMEOUT, gap=True, innocuous=Kind.OK) == "tls.timeout.sni"


@pytest.mark.parametrize("kind", [Kind.EOF, Kind.RESET])
def test_a_server_that_hangs_up_on_other_names_is_reached_by_them(kind: Kind) -> None:
    assert decided(Kind.TIMEOUT, innocuous=kind) == "tls.timeout.sni"
    assert decided(Kind.TIMEOUT, innocuous=kind, by_chance=True) == "tls.background"
    assert decided(Kind.TIMEOUT, innocuous=kind, reach=Reach.SAME) == "tls.control_fails_too"
    assert decided(kind, innocuous=kind) == f"tls.{kind}.other"


def test_an_alert_to_an_innocuous_name_passes_unless_ours_got_one_too() -> None:
    assert decided(Kind.RESET, innocuous=Kind.ALERT) == "tls.reset.sni"
    assert decided(Kind.ALERT, innocuous=Kind.ALERT) == "tls.alert.other"


@pytest.mark.parametrize(
    ("kind", "given", "rule"),
    [
        (Kind.OK, {}, "tls.certificate_valid"),
        (Kind.RESET, {"repeated": True}, "tls.repeat_valid"),
        (Kind.TIMEOUT, {"classical": True}, "tls.large_hello"),
        (Kind.RESET, {"reach": Reach.SAME, "innocuous": Kind.OK}, "tls.control_fails_too"),
        (Kind.DATES, {"at_control": True}, "tls.clock"),
        (Kind.DATES, {"reach": Reach.UNKNOWN}, "tls.dates"),
        (Kind.DATES, {}, "tls.dates"),
        (Kind.SELF_SIGNED, {"at_our_host": True}, "tls.mitm.self_signed"),
        (Kind.CA_SIGNED, {"at_our_host": True}, "tls.mitm.ca_signed"),
        (Kind.CA_SIGNED, {"page": "known"}, "tls.mitm.ca_signed"),
        (Kind.CA_SIGNED, {"accused": True}, "tls.answer_accused"),
        (Kind.OTHER_NAME, {"at_our_host": True}, "tls.mitm.ca_signed"),
        (Kind.OTHER_NAME, {"at_our_host": True, "unseen": True}, "tls.mitm.ca_signed"),
        *((kind, {}, "tls.certificate_untold") for kind in CERTIFICATE_KINDS),
        *((kind, {"at_control": True}, "tls.own_certificate") for kind in CERTIFICATE_KINDS),
        (Kind.CA_SIGNED, {"for_any_name": True, "at_our_host": True}, "tls.local_interceptor"),
        (Kind.OTHER_NAME, {"unseen": True}, "tls.other_name"),
        (Kind.PLAIN_HTTP, {}, "tls.http_response"),
        (Kind.OTHER, {"innocuous": Kind.OK}, "tls.unclear"),
        (Kind.REFUSED, {}, "tls.unclear"),
    ],
)
def test_first_match(kind: Kind, given: dict[str, Any], rule: str) -> None:
    assert decided(kind, **given) == rule
