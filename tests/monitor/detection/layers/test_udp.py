"""Rules over an exchange over UDP: first match wins, and silence alone accuses nobody."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.judge.target import judge
from monitor.detection.layers.app import AppFacts
from monitor.detection.layers.udp import UDP_RULES
from monitor.detection.observed.background import RoundBackground, background
from monitor.detection.observed.endpoint_context import Reach
from monitor.detection.observed.kinds import Kind
from monitor.detection.rule import first
from probes.wire.failure import Failure
from probes.wire.observation import LIVENESS_HOST
from tests.monitor.detection.app_scenes import CALLS, ON_CALLS, app, calls, twice
from tests.monitor.detection.scenes import (
    A1,
    A2,
    BESIDE,
    REPEAT,
    V6,
    alive,
    control,
    dns,
    endpoint,
    measured,
    quic,
)
from tests.monitor.detection.sightings import verdict


@pytest.mark.parametrize(
    ("kind", "given", "rule"),
    [
        (Kind.OK, {}, "udp.answered"),
        (Kind.OK, {"accused": True}, "udp.answer_accused"),
        (Kind.TIMEOUT, {"repeated": True}, "udp.repeat_answered"),
        (Kind.TIMEOUT, {"family_dead": True, "udp_passes": True}, "udp.family_broken"),
        (Kind.LOCAL, {}, "udp.local"),
        (Kind.LATE, {"udp_passes": True}, "udp.machine_late"),
        (Kind.TIMEOUT, {"reach": Reach.SAME, "udp_passes": True}, "udp.control_fails_too"),
        (Kind.UNREACHABLE, {"reach": Reach.SAME}, "udp.control_fails_too"),
        (Kind.UNREACHABLE, {"udp_passes": True}, "udp.told"),
        (Kind.PROHIBITED, {}, "udp.told"),
        (Kind.REFUSED, {}, "udp.told"),
        (Kind.TIMEOUT, {}, "udp.no_udp_here"),
        (Kind.TIMEOUT, {"udp_passes": True}, "udp.timeout"),
        (Kind.TIMEOUT, {"udp_passes": True, "udp_at_times": True}, "udp.at_times"),
        (Kind.TIMEOUT, {"udp_passes": True, "lossy_there": True}, "udp.lossy_there"),
        (Kind.TIMEOUT, {"udp_passes": True, "only_listed": True}, "udp.only_listed"),
        (Kind.OK, {"udp_passes": True, "only_listed": True}, "udp.answered"),
        (Kind.OTHER, {"udp_passes": True}, "udp.unclear"),
    ],
)
def test_first_match(kind: Kind, given: dict[str, Any], rule: str) -> None:
    found = first(UDP_RULES, AppFacts(**{"kind": kind, "reach": Reach.PASSED} | given))
    assert found is not None
    assert found.id == rule


def asked_again(failure: str | None = None, *remarks: str, address: str = "14.0.0.9") -> Any:
    return app(address, failure, at=CALLS, evidence=(*remarks, LIVENESS_HOST), **BESIDE)


@pytest.mark.parametrize(
    ("again", "rule"),
    [
        ((), "udp.timeout"),  # nothing was asked
        ((asked_again(),), "udp.timeout"),
        ((asked_again(None, "sent_again", "sent_again_answered"),), "udp.timeout"),  # only slow
        ((asked_again(None, "sent_again"),), "udp.at_times"),
        ((asked_again(Failure.TIMEOUT),), "udp.at_times"),
        ((asked_again(Failure.TIMEOUT), asked_again()), "udp.timeout"),
        ((asked_again(Failure.TIMEOUT, address=V6),), "udp.at_times"),
        ((asked_again(Failure.TIMEOUT, address=V6), asked_again()), "udp.timeout"),
    ],
)
def test_whether_datagrams_pass_is_asked_beside_the_repeat(again: Any, rule: str) -> None:
    seen = calls(*twice(Failure.TIMEOUT, at=CALLS), *again)
    assert verdict(*seen, **ON_CALLS).rule == rule


@pytest.mark.parametrize(
    ("answered", "rule"),
    [
        ((app(at=CALLS),), "udp.timeout"),
        ((app(at=CALLS, evidence=("sent_again",)),), "udp.lossy_there"),
        ((app(at=CALLS, evidence=("sent_again", "sent_again_answered")),), "udp.timeout"),  # slow
        ((app(A1, Failure.TIMEOUT, at=CALLS), app(at=CALLS, **REPEAT)), "udp.lossy_there"),
        ((app(V6, at=CALLS, evidence=("sent_again",)), app(at=CALLS)), "udp.timeout"),
    ],
)
def test_a_server_that_loses_requests_of_the_control_is_not_blocked(
    answered: Any, rule: str
) -> None:
    seen = calls(*twice(Failure.TIMEOUT, at=CALLS))
    there = control(dns(A1, at=CALLS), *answered, endpoints=(CALLS,))
    assert verdict(*seen, **ON_CALLS | {"beside": [there]}).rule == rule


@pytest.mark.parametrize(
    ("port", "passes", "rule"),
    [
        (443, True, "udp.timeout"),
        (443, False, "udp.no_udp_here"),
        (3478, True, "udp.no_udp_here"),  # firewalls open ports one by one
    ],
)
def test_quic_shows_that_udp_passes_at_its_port(port: int, passes: bool, rule: str) -> None:
    ref = endpoint("stun", port=port)
    silent = (dns(A1, at=ref), *twice(Failure.TIMEOUT, at=ref))
    beyond = [control(dns(A1, at=ref), app(at=ref), endpoints=(ref,))]
    beside = background([measured(quic(A2, None if passes else Failure.TIMEOUT))])
    said = judge(measured(*silent, endpoints=(ref,)), alive(), beyond, others=beside)
    assert said.rule == rule


@pytest.mark.parametrize("reached", [0, 1])
def test_a_network_of_listed_hosts_lets_no_other_datagrams_through(reached: int) -> None:
    seen = calls(*twice(Failure.TIMEOUT, at=CALLS))
    beside = RoundBackground(targets_dialled=9, targets_reached=reached)
    mine = measured(*seen, endpoints=(CALLS,))
    said = judge(mine, ON_CALLS["liveness"], ON_CALLS["beside"], others=beside)
    assert said.rule == ("udp.timeout" if reached else "udp.only_listed")
