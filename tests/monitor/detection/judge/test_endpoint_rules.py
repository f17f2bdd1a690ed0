"""The table of an endpoint's states."""

from __future__ import annotations

import re

import pytest

from monitor.detection.all_rules import ALL_RULES
from monitor.detection.judge.endpoint_rules import (
    ENDPOINT_RULES,
    EndpointEvidence,
    EndpointProgress,
)
from monitor.detection.model import State
from monitor.detection.rule import first

NOWHERE, REACHED, BEGUN = (
    EndpointProgress(),
    EndpointProgress(reached=True),
    EndpointProgress(begun=True),
)
FINISHED = EndpointProgress(reached=True, finished=True)
OK, BLOCKED, THROTTLED, DOWN = State.OK, State.BLOCKED, State.THROTTLED, State.DOWN
UNCLEAR, OFFLINE = State.INCONCLUSIVE, State.VANTAGE_OFFLINE
ROWS: list[tuple[str, bool, EndpointProgress, set[State], State | None]] = [
    ("impaired", True, FINISHED, {OK, BLOCKED}, None),
    ("impaired", True, BEGUN, {BLOCKED}, None),
    ("impaired", True, REACHED, {State.IMPAIRED}, None),
    ("impaired", True, NOWHERE, {BLOCKED, THROTTLED}, THROTTLED),
    ("blocked", True, NOWHERE, {OK, BLOCKED, DOWN}, None),
    ("blocked", False, FINISHED, {BLOCKED}, None),
    ("blocked", False, NOWHERE, {BLOCKED}, THROTTLED),
    ("throttled", True, FINISHED, {OK, THROTTLED}, THROTTLED),
    ("slow", True, REACHED, {OK, UNCLEAR}, UNCLEAR),
    ("works", True, FINISHED, {OK, UNCLEAR, DOWN}, None),
    ("unfinished", True, REACHED, {OK, DOWN}, None),
    ("unclear", True, NOWHERE, {UNCLEAR, DOWN, OFFLINE}, None),
    ("unclear", False, FINISHED, {UNCLEAR, OK}, None),
    ("unclear", True, BEGUN, {OK, UNCLEAR}, None),
    ("down", True, NOWHERE, {OK, DOWN, OFFLINE}, None),
    ("family_broken", True, NOWHERE, {OFFLINE, State.INSUFFICIENT}, None),
    ("insufficient", True, NOWHERE, {OK, State.INSUFFICIENT}, None),
    ("insufficient", False, NOWHERE, set(), THROTTLED),
]


@pytest.mark.parametrize(("row", "resolves", "progress", "states", "slowed"), ROWS)
def test_first_row(
    row: str, resolves: bool, progress: EndpointProgress, states: set[State], slowed: State | None
) -> None:
    rule = first(ENDPOINT_RULES, EndpointEvidence(resolves, progress, frozenset(states), slowed))
    assert rule is not None
    assert rule.id == f"endpoint.{row}"


def test_every_row_is_tried() -> None:
    assert {f"endpoint.{row[0]}" for row in ROWS} == {rule.id for rule in ENDPOINT_RULES}


def test_the_last_row_takes_everything() -> None:
    assert ENDPOINT_RULES[-1].condition(None)  # type: ignore[arg-type]


def test_rows_accuse_nobody_by_themselves() -> None:
    """Technique, weight and evidence are the rules' of the layers; no verdict names a row."""
    ids = [rule.id for rule in ENDPOINT_RULES]
    assert len(ids) == len(set(ids))
    assert not set(ids) & {rule.id for rule in ALL_RULES}
    for rule in ENDPOINT_RULES:
        assert re.fullmatch(r"endpoint\.[a-z_]+", rule.id)
        assert (rule.technique, rule.weight, rule.evidence) == (None, 0, ())
        assert len(rule.comment) > 15
