"""Durations and YAML as Prometheus reads them."""

from __future__ import annotations

import pytest
import yaml

from monitor.alerts.alert import as_yaml, duration
from monitor.detection.policy import Policy


@pytest.mark.parametrize(
    ("pace", "seconds", "text"),
    [(1, 900, "900s"), (600, 900, "1500ms"), (600, 300, "1s"), (7, 60, "8571ms"), (1, 0, "1s")],
)
def test_durations_follow_the_pace_down_to_a_second(pace: int, seconds: int, text: str) -> None:
    assert duration(Policy(pace=pace), seconds) == text


def test_text_keeps_its_value_on_one_line() -> None:
    document = {"b": "- x: &a *b !!c # é {} \" ' \\ \t %", "a": ["5s", 'x"\n- evil: 1', "y " * 200]}
    text = as_yaml(document)
    assert yaml.safe_load(text) == document
    assert list(yaml.safe_load(text)) == ["b", "a"]
    assert max(map(len, text.splitlines())) > 400
