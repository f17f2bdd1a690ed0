"""TCP rules over facts."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.layers.tcp import TCP_RULES, TCPFacts
from monitor.detection.observed.endpoint_context import Reach
from monitor.detection.observed.kinds import Kind
from monitor.detection.rule import first


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
