"""What failed at an endpoint, beside what failed at others in the same round."""

from __future__ import annotations

from dataclasses import replace

import pytest

from monitor.detection.observed.background import AttemptTally, RoundBackground, Step
from monitor.detection.observed.by_chance import (
    attempt_by_chance,
    attempts_by_chance,
    lookup_by_chance,
)
from monitor.detection.observed.endpoint_context import EndpointContext
from monitor.detection.observed.kinds import Kind
from probes.wire.failure import Failure
from probes.wire.observation import AnyObservation
from tests.monitor.detection.dns_scenes import case
from tests.monitor.detection.scenes import A1, A2, REPEAT, dns, tcp, tls

QUIET, LOSSY, RESETTING = AttemptTally(40), AttemptTally(40, lost=15), AttemptTally(40, cut=15)
DEAD = tcp(A1, Failure.TIMEOUT), tcp(A1, Failure.TIMEOUT, **REPEAT)


def flows(over: int, step: Step, tally: AttemptTally) -> RoundBackground:
    """Attempts of one kind of step alone."""
    none = RoundBackground().flows
    place = (0 if over == 4 else len(Step)) + list(Step).index(step)
    return RoundBackground(flows=(*none[:place], tally, *none[place + 1 :]))


def among(background: RoundBackground, *seen: AnyObservation) -> EndpointContext:
    context = case(*seen)
    return replace(context, vantage=replace(context.vantage, background=background))


def test_the_place_of_a_tally() -> None:
    for over in (4, 6):
        for step in Step:
            assert flows(over, step, LOSSY).of(over, step) == LOSSY


@pytest.mark.parametrize(
    ("kind", "others", "explained"),
    [
        (Kind.TIMEOUT, flows(4, Step.CONNECT, LOSSY), True),
        (Kind.TIMEOUT, flows(4, Step.CONNECT, QUIET), False),
        # What kills connections of the other family has often just spared these few.
        (Kind.TIMEOUT, flows(6, Step.CONNECT, LOSSY), True),
        (Kind.TIMEOUT, flows(6, Step.CONNECT, AttemptTally(40, lost=40)), False),  # no IPv6 at all
        (Kind.TIMEOUT, flows(4, Step.CONNECT, RESETTING), False),
        (Kind.PROHIBITED, flows(4, Step.CONNECT, LOSSY), False),  # the kind itself tells why
    ],
)
def test_attempts_die_as_others_do(kind: Kind, others: RoundBackground, explained: bool) -> None:
    context = among(others, dns(A1), *DEAD)
    address = context.endpoint.at(A1, 443)
    found = attempts_by_chance(context, kind, Step.CONNECT, address, lambda p: p.tcp.kinds)
    assert found is explained


@pytest.mark.parametrize(
    ("failure", "kind", "others", "explained"),
    [
        (Failure.RESET, Kind.RESET, flows(4, Step.CONNECT, RESETTING), True),
        (Failure.RESET, Kind.RESET, flows(4, Step.CONNECT, QUIET), False),
        (Failure.RESET, Kind.RESET, flows(4, Step.CONNECT, LOSSY), False),
        (Failure.RESET, Kind.RESET, flows(4, Step.DATAGRAM, RESETTING), False),
        (Failure.TIMEOUT, Kind.TIMEOUT, flows(4, Step.CONNECT, LOSSY), True),
    ],
)
def test_what_kills_connects_kills_handshakes(
    failure: str, kind: Kind, others: RoundBackground, explained: bool
) -> None:
    context = among(others, dns(A1), tcp(A1), tls(A1, failure), tls(A1, failure, **REPEAT))
    address = context.endpoint.at(A1, 443)
    found = attempts_by_chance(context, kind, Step.PAYLOAD, address, lambda p: p.tls.kinds)
    assert found is explained


SOME = tcp(A1), tcp(A1, Failure.REFUSED, **REPEAT), tcp(A1, Failure.REFUSED, **REPEAT)


@pytest.mark.parametrize(
    ("kind", "there", "explained"),
    [
        (Kind.REFUSED, SOME, True),
        (Kind.REFUSED, SOME[:1], False),
        (Kind.REFUSED, (*SOME[:1], tcp(A2, Failure.REFUSED)), False),  # another server is closed
        (Kind.TIMEOUT, SOME, False),
        (Kind.TIMEOUT, (tcp(A1), tcp(A1, Failure.TIMEOUT, **REPEAT)), False),  # one lost packet
        (Kind.TIMEOUT, (tcp(A1), *(tcp(A1, Failure.TIMEOUT, **REPEAT) for _ in range(3))), True),
    ],
)
def test_servers_that_kill_a_share_for_controls_too(
    kind: Kind, there: tuple[AnyObservation, ...], explained: bool
) -> None:
    failure = {Kind.REFUSED: Failure.REFUSED, Kind.TIMEOUT: Failure.TIMEOUT}[kind]
    context = case(dns(A1), *(tcp(A1, failure, **again) for again in ({}, REPEAT)))
    context = replace(context, controls=case(dns(A1), *there).siblings)
    address = context.endpoint.at(A1, 443)
    found = attempts_by_chance(context, kind, Step.CONNECT, address, lambda p: p.tcp.kinds)
    assert found is explained


def test_that_every_address_dies_is_no_chance() -> None:
    """Where a third of the connects is lost, ten of ten are not."""
    others = flows(4, Step.CONNECT, LOSSY)
    addresses = [f"11.0.1.{n}" for n in range(10)]
    dead = [tcp(a, Failure.TIMEOUT, **again) for a in addresses for again in ({}, REPEAT)]
    for alive, explained in ((dead, False), ([*DEAD, *map(tcp, addresses)], True)):
        context = among(others, dns(A1), *DEAD, *alive)
        address = context.endpoint.at(A1, 443)
        found = attempts_by_chance(
            context, Kind.TIMEOUT, Step.CONNECT, address, lambda p: p.tcp.kinds
        )
        assert found is explained


@pytest.mark.parametrize(
    ("tally", "kind", "explained"),
    [
        (LOSSY, Kind.TIMEOUT, True),
        (QUIET, Kind.TIMEOUT, False),
        (LOSSY, Kind.RESET, False),
        (RESETTING, Kind.RESET, True),
        (RESETTING, Kind.ALERT, False),
    ],
)
def test_one_attempt_proves_little_where_others_die(
    tally: AttemptTally, kind: Kind, explained: bool
) -> None:
    context = among(flows(4, Step.PAYLOAD, tally), dns(A1))
    assert attempt_by_chance(context, kind, Step.PAYLOAD, A2) is explained


@pytest.mark.parametrize(
    ("failure", "others", "explained"),
    [
        (Failure.TIMEOUT, RoundBackground(lookups=LOSSY), True),
        (Failure.DNS_SERVFAIL, RoundBackground(lookups=RESETTING), True),
        (Failure.TIMEOUT, RoundBackground(lookups=QUIET), False),
        (Failure.DNS_NXDOMAIN, RoundBackground(lookups=LOSSY), False),
        # Packets of connections are lost on the same line.
        (Failure.TIMEOUT, flows(4, Step.CONNECT, LOSSY), True),
        (Failure.DNS_SERVFAIL, flows(4, Step.CONNECT, LOSSY), False),
    ],
)
def test_a_name_is_not_answered_as_others_are_not(
    failure: str, others: RoundBackground, explained: bool
) -> None:
    context = among(others, dns(failure=failure), dns(failure=failure, **REPEAT))
    kind = {
        Failure.TIMEOUT: Kind.TIMEOUT,
        Failure.DNS_SERVFAIL: Kind.SERVFAIL,
        Failure.DNS_NXDOMAIN: Kind.NXDOMAIN,
    }[Failure(failure)]
    assert lookup_by_chance(context, kind, "A") is explained
