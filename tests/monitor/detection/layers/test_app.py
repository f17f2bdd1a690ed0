"""Rules over an app's first exchange: first match wins."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.facts.kinds import Kind
from monitor.detection.facts.tcp_tls_http import Reach
from monitor.detection.layers.app import APP_RULES
from monitor.detection.layers.app_facts import AppFacts
from monitor.detection.rules import first


@pytest.mark.parametrize(
    ("kind", "given", "rule"),
    [
        (Kind.OK, {}, "app.spoke"),
        (Kind.OK, {"lacks": ("starttls",)}, "app.answer_lacks"),
        (Kind.OK, {"accused": True}, "app.answer_accused"),
        (Kind.RESET, {"repeated": True}, "app.repeat_spoke"),
        (Kind.RESET, {"reach": Reach.SAME}, "app.control_fails_too"),
        (Kind.OTHER, {"reach": Reach.SAME}, "app.control_fails_too"),
        (Kind.OTHER, {"web": True}, "app.page"),
        (Kind.OTHER, {}, "app.foreign"),
        (Kind.RESET, {}, "app.reset"),
        (Kind.RESET, {"reach": Reach.DIFFERENT}, "app.reset"),
        (Kind.TIMEOUT, {}, "app.timeout"),
        (Kind.EOF, {}, "app.closed"),
        (Kind.LOCAL, {}, "app.unclear"),
    ],
)
def test_first_match(kind: Kind, given: dict[str, Any], rule: str) -> None:
    found = first(APP_RULES, AppFacts(**{"kind": kind, "reach": Reach.PASSED} | given))
    assert found is not None
    assert found.id == rule
