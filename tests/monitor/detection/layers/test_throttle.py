"""Throttling rules over facts."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.facts.tcp_tls_http import Reach
from monitor.detection.layers.throttle import THROTTLE_RULES
from monitor.detection.layers.throttle_facts import TransferFacts
from monitor.detection.model import State
from monitor.detection.rules import first

NAME = {"by_name": True}
PLACE = {"whatever_name": True, "elsewhere": True}


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"slow": False, "by_name": True}, "throttle.runs"),
        (NAME | {"reach": Reach.SAME}, "throttle.control_slow_too"),
        (NAME, "throttle.sni"),
        (NAME | {"elsewhere": False}, "throttle.sni"),
        (NAME | {"frozen": True}, "throttle.freeze.sni"),
        (PLACE | {"control_tenth": True}, "throttle.address"),
        (PLACE | {"reach": Reach.UNKNOWN}, "throttle.address"),
        (PLACE, "throttle.slow"),
        (PLACE | {"frozen": True}, "throttle.freeze.address"),
        (PLACE | {"elsewhere": False, "control_tenth": True}, "throttle.everywhere"),
        (PLACE | {"elsewhere": None, "control_tenth": True}, "throttle.slow"),
        ({"elsewhere": False}, "throttle.everywhere"),
        ({}, "throttle.slow"),
    ],
)
def test_first_match(given: dict[str, Any], rule: str) -> None:
    found = first(THROTTLE_RULES, TransferFacts(**{"slow": True, "reach": Reach.PASSED} | given))
    assert found is not None
    assert found.id == rule


def test_the_last_rule_takes_everything_and_accuses_nobody() -> None:
    assert THROTTLE_RULES[-1].condition(None)  # type: ignore[arg-type]
    assert THROTTLE_RULES[-1].state is State.OK
