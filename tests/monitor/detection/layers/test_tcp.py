"""TCP rules over facts."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.judge.target import judge
from monitor.detection.layers.tcp import TCP_RULES, TCPFacts
from monitor.detection.observed.endpoint_context import Reach
from monitor.detection.observed.kinds import Kind
from monitor.detection.rule import first
from probes.wire.failure import Failure
from tests.monitor.detection.scenes import (
    A1,
    A2,
    REPEAT,
    alive,
    control,
    dns,
    endpoint,
    measured,
    tcp,
)


@pytest.mark.parametrize(
    ("kind", "given", "rule"),
    [
        (Kind.OK, {}, "tcp.connected"),
        (Kind.OK, {"accused": True}, "tcp.answer_accused"),
        (Kind.TIMEOUT, {"repeated": True}, "tcp.repeat_connected"),
        (Kind.TIMEOUT, {"family_dead": True}, "tcp.family_broken"),
        (Kind.TIMEOUT, {"reach": Reach.SAME}, "tcp.control_fails_too"),
        (Kind.TIMEOUT, {}, "tcp.timeout"),
        (Kind.RESET, {}, "tcp.reset"),
        (Kind.REFUSED, {}, "tcp.refused"),
        (Kind.UNREACHABLE, {}, "tcp.unreachable"),
        (Kind.PROHIBITED, {}, "tcp.prohibited"),
        (Kind.LOCAL, {"reach": Reach.SAME}, "tcp.local"),
        (Kind.OTHER, {}, "tcp.unclear"),
    ],
)
def test_first_match(kind: Kind, given: dict[str, Any], rule: str) -> None:
    found = first(TCP_RULES, TCPFacts(**{"kind": kind, "reach": Reach.PASSED} | given))
    assert found is not None
    assert found.id == rule


def test_servers_that_lose_connections_of_the_control_too() -> None:
    """Half of the connections to one server die, and the control's one connection to it passed; it
    could not connect to another server of the target, which is reached here."""
    chat, media = endpoint("tcp"), endpoint("tcp", host="media.example")
    dead, passed = tcp(A1, Failure.TIMEOUT, at=chat), tcp(A1, at=chat, **REPEAT)
    again = tcp(A1, Failure.TIMEOUT, at=chat, **REPEAT)
    here = (dns(A1, at=chat), dead, again, again, passed, dns(A2, at=media), tcp(A2, at=media))

    def said(media_at_control: str | None) -> str:
        there = (tcp(A1, at=chat), tcp(A2, media_at_control, at=media))
        beyond = control(*there, endpoints=(chat, media))
        return judge(measured(*here, endpoints=(chat, media)), alive(), [beyond]).state

    assert said(None) == "impaired"
    assert said(Failure.TIMEOUT) == "ok"
    assert said(Failure.RESET) == "impaired"
