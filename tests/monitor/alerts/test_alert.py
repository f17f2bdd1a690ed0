"""Durations as Prometheus writes them."""

from __future__ import annotations

import pytest

from monitor.alerts.alert import Span, milliseconds, span, written
from monitor.detection.policy import Policy


@pytest.mark.parametrize(
    ("pace", "seconds", "text"),
    [(1, 900, "900s"), (600, 900, "1500ms"), (600, 300, "1s"), (7, 60, "8571ms"), (1, 0, "1s")],
)
def test_spans_follow_the_pace_down_to_a_second(pace: int, seconds: int, text: str) -> None:
    policy = Policy(pace=pace)
    made = span(policy, seconds)
    assert made == text
    assert isinstance(made, Span)
    assert written(milliseconds(policy, seconds)) == text
