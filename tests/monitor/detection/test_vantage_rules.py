"""Rules about the vantage itself: what is asked before anyone is accused."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.detection.observed.liveness import ResolverStatus, VantageStatus
from monitor.detection.rule import first
from monitor.detection.vantage_rules import VANTAGE_RULES


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ({"international": True}, None),
        ({"international": True, "domestic": False}, None),
        ({"international": True, "portal": True}, None),
        ({"international": True, "clock_wrong": True}, "vantage.clock_wrong"),
        ({"international": False, "intercepted": True}, "vantage.tls_interception"),
        ({"international": False, "portal": True}, "vantage.captive_portal"),
        ({"international": False, "domestic": True}, "vantage.allow_list_network"),
        ({"international": False, "resolver": ResolverStatus(dead=True)}, "vantage.resolver_dead"),
        ({"international": False}, "vantage.offline"),
        ({"international": False, "domestic": False}, "vantage.offline"),
        ({"international": True, "went_offline": True}, "vantage.went_offline"),
        ({"domestic": True}, "vantage.liveness_unseen"),
        ({}, "vantage.liveness_unseen"),
    ],
)
def test_first_match(given: dict[str, Any], rule: str | None) -> None:
    found = first(VANTAGE_RULES, VantageStatus(**given))
    assert (found.id if found else None) == rule
