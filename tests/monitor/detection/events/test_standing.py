"""What the word of an owner weighs."""

from __future__ import annotations

import pytest

from monitor.detection.events import standing
from monitor.detection.events.state import (
    Baseline,
    Member,
    Series,
    TargetNetwork,
    Track,
    VantageOutcome,
)
from monitor.detection.model import VOUCHED
from tests.monitor.detection.worlds import POLICY, START, TARGET

DAY = 86_400_000


def place(enrolled: int, failed: int = 0, total: int = 0) -> TargetNetwork:
    member = Member("o", enrolled, 300_000, START, VantageOutcome.GOOD)
    track = Track(Baseline(total, failed))
    return TargetNetwork(TARGET, "RU", 64501, "probe", {"p": member}, {"tls": Series({"p": track})})


@pytest.mark.parametrize(
    ("enrolled", "baseline", "corroborated", "weight"),
    [
        (START - 27 * DAY, (0, 0), False, standing.NEW),
        (START - 28 * DAY, (0, 0), False, standing.KNOWN),
        (VOUCHED, (0, 0), False, standing.KNOWN),
        (START - 28 * DAY, (0, 0), True, standing.KNOWN * standing.CORROBORATED),
        (START, (0, 0), True, standing.NEW * standing.CORROBORATED),
        (VOUCHED, (30, 100), False, standing.NEW),
        (VOUCHED, (3, 100), False, standing.KNOWN),
        (VOUCHED, (3, 10), False, standing.KNOWN),
    ],
    ids=["new", "known", "vouched", "both", "companion", "unreliable", "usual", "few samples"],
)
def test_weight(enrolled: int, baseline: tuple[int, int], corroborated: bool, weight: int) -> None:
    network = place(enrolled, *baseline)
    assert standing.of_vantage(network, "p", corroborated, START, POLICY) == weight


def test_two_strangers_are_not_trusted_and_one_of_two_who_is_known_is() -> None:
    assert standing.together(0, 2) < standing.TRUSTED <= standing.together(1, 1)
