"""What a rule is; the laws over all of them are in rules/test_laws.py."""

from __future__ import annotations

import dataclasses

import pytest

from monitor.detection.model import State
from monitor.detection.rule import Rule, first


def test_rules_are_frozen() -> None:
    rule: Rule[int] = Rule("tcp.some", lambda f: f > 1, State.OK, "Because.")
    with pytest.raises(dataclasses.FrozenInstanceError):
        rule.weight = 3  # type: ignore[misc]
    assert (rule.technique, rule.weight, rule.evidence) == (None, 0, ())


def test_no_match_is_none() -> None:
    assert first((), 1) is None
