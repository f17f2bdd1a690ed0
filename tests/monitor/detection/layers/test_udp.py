"""Rules over an exchange over UDP: first match wins, and silence alone accuses nobody."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.judge.target import judge
from monitor.detection.layers.app import AppFacts
from monitor.detection.layers.udp import UDP_RULES
from monitor.detection.observed.background import background
from monitor.detection.observed.endpoint_context import Reach
from monitor.detection.observed.kinds import Kind
from monitor.detection.rule import first
from probes.wire.failure import Failure
from tests.monitor.detection.app_scenes import app, twice
from tests.monitor.detection.scenes import A1, A2, alive, control, dns, endpoint, measured, quic


@pytest.mark.parametrize(
    ("kind", "given", "rule"),
    [
        (Kind.OK, {}, "udp.answered"),
        (Kind.OK, {"accused": True}, "udp.answer_accused"),
        (Kind.TIMEOUT, {"repeated": True}, "udp.repeat_answered"),
        (Kind.TIMEOUT, {"family_dead": True, "udp_passes": True}, "udp.family_broken"),
        (Kind.LOCAL, {}, "udp.local"),
        (Kind.TIMEOUT, {"reach": Reach.SAME, "udp_passes": True}, "udp.control_fails_too"),
        (Kind.UNREACHABLE, {"reach": Reach.SAME}, "udp.control_fails_too"),
        (Kind.UNREACHABLE, {"udp_passes": True}, "udp.told"),
        (Kind.PROHIBITED, {}, "udp.told"),
        (Kind.REFUSED, {}, "udp.told"),
        (Kind.TIMEOUT, {}, "udp.no_udp_here"),
        (Kind.TIMEOUT, {"udp_passes": True}, "udp.timeout"),
        (Kind.OTHER, {"udp_passes": True}, "udp.unclear"),
    ],
)
def test_first_match(kind: Kind, given: dict[str, Any], rule: str) -> None:
    found = first(UDP_RULES, AppFacts(**{"kind": kind, "reach": Reach.PASSED} | given))
    assert found is not None
    assert found.id == rule


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
