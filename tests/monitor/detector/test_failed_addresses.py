"""Which addresses the controls are to try, and how often."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from monitor.detection.model import Fact, State, Verdict
from monitor.detection.policy import Policy
from monitor.detector.failed_addresses import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    MOST_REMEMBERED,
    RECENT_SECONDS,
    FailedElsewhere,
)
from probes.wire.retest import MOST_FAILED_ADDRESSES, MOST_FAILED_ENDPOINTS
from tests.monitor.detection.worlds import START, TARGET, blocked, fact, says, vantages

ENDPOINT = "wechat.test:443/tls"
PEOPLE = vantages(4)
NOW = START + 60_000
BLOCKED = blocked()
UNSEEN = says(State.INCONCLUSIVE, "unseen_address")


def failing(
    *people: int,
    addresses: Iterable[str] = ("198.18.0.1",),
    endpoint: str = ENDPOINT,
    verdict: Verdict = BLOCKED,
    **other: object,
) -> list[Fact]:
    dialled = tuple((endpoint, address) for address in addresses)
    return [
        replace(fact(PEOPLE[number], START, verdict, started=START), untried=dialled, **other)
        for number in people
    ]


def due(failed: FailedElsewhere, now: int = NOW) -> list[str]:
    named = failed.due({TARGET}, now).get(TARGET, ())
    return [address for of_endpoint in named for address in of_endpoint.addresses]


def asked(*some: list[Fact]) -> list[str]:
    failed = FailedElsewhere(Policy())
    for facts in some:
        failed.record(facts)
    return due(failed)


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        pytest.param(failing(0, 1), True, id="two owners"),
        pytest.param(failing(0, 0), False, id="one vantage twice"),
        pytest.param(failing(0, 1, owner="o-x"), False, id="one owner's two"),
        pytest.param([*failing(0), *failing(1, asn=64999)], False, id="two networks"),
        pytest.param(failing(0, 1, target="wechat/web"), False, id="another target"),
        pytest.param(failing(0, 1, verdict=UNSEEN), True, id="that no control has seen"),
        pytest.param(failing(0, 1, verdict=says(State.DOWN)), False, id="down"),
        pytest.param(failing(0, 1, verdict=says(State.OK)), False, id="works"),
        pytest.param(failing(0, 1, source="ooni"), False, id="imported"),
        pytest.param(failing(0, 1, addresses=["0.0.0.0"]), False, id="unspecified"),
        pytest.param(failing(0, 1, addresses=["169.254.169.254"]), False, id="link-local"),
        pytest.param(failing(0, 1, addresses=["nowhere"]), False, id="no address"),
    ],
)
def test_what_two_owners_of_a_network_saw_fail(facts: list[Fact], named: bool) -> None:
    assert bool(asked(facts)) is named


def test_those_that_most_owners_saw_come_first_and_few_of_them() -> None:
    many = [f"198.18.1.{n}" for n in range(9)]
    named = asked(failing(0, 1, addresses=many), failing(2, addresses=many[7:]))
    assert len(named) == MOST_FAILED_ADDRESSES
    assert set(named) > set(many[7:])
    hosts = [failing(0, 1, endpoint=f"h{n}.test:443/tls") for n in range(20)]
    assert len(asked(*hosts)) == MOST_FAILED_ENDPOINTS


def test_they_are_named_more_and_more_rarely() -> None:
    failed, times = FailedElsewhere(Policy()), list[int]()
    for minute in range(12 * 60):
        now = NOW + minute * 60_000
        failed.record(replace(each, started=now) for each in failing(0, 1))
        times += [minute] * len(due(failed, now))
    pauses = [(b - a) * 60 for a, b in itertools.pairwise(times)]
    assert pauses[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert set(pauses[4:]) == {LONGEST_PAUSE_SECONDS}


def test_an_old_failure_is_forgotten_and_memory_is_bounded() -> None:
    failed = FailedElsewhere(Policy())
    failed.record(failing(0, 1))
    assert due(failed, START + RECENT_SECONDS * 1000) == []
    failed.record(failing(0, 1, addresses=[f"198.18.{n // 250}.{n % 250}" for n in range(999)]))
    assert len(failed._failed["RU", 64501, TARGET]) == MOST_REMEMBERED
