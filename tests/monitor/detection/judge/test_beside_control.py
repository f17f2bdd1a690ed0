"""What one rule says, with the control taken into account."""

from __future__ import annotations

import pytest

from monitor.detection.judge.beside_control import WEAK, Outcome, inconclusive, outcome_of
from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.endpoint_context import Reach
from monitor.detection.rule import Rule

RULES = (
    Rule("tcp.fine", lambda n: n == 0, State.OK, "It works.", evidence=("fine",)),
    Rule("tcp.reset", lambda n: n == 1, State.BLOCKED, "Cut.", Technique.TCP_RESET, 5, ("cut",)),
    Rule("tcp.slow", lambda n: n == 2, State.THROTTLED, "Slow.", weight=3),
    Rule("tcp.unclear", lambda n: n == 3, State.INCONCLUSIVE, "Who knows."),
)


@pytest.mark.parametrize(
    ("number", "reach", "state", "evidence"),
    [
        (0, Reach.UNKNOWN, State.OK, ("fine",)),
        (1, Reach.PASSED, State.BLOCKED, ("cut", "remark")),
        (1, Reach.UNKNOWN, State.INCONCLUSIVE, ("cut", "no_control", "remark")),
        (1, Reach.SAME, State.INCONCLUSIVE, ("cut", "control_fails", "remark")),
        (2, Reach.PASSED, State.THROTTLED, ("remark",)),
        (2, Reach.DIFFERENT, State.INCONCLUSIVE, ("control_fails", "remark")),
        (3, Reach.UNKNOWN, State.INCONCLUSIVE, ("remark", "tcp:unknown")),
        (4, Reach.PASSED, State.INCONCLUSIVE, ()),
    ],
)
def test_an_accusation_needs_a_control_that_passed(
    number: int, reach: Reach, state: State, evidence: tuple[str, ...]
) -> None:
    outcome = outcome_of(RULES, Layer.TCP, number, reach, evidence=("remark",))
    assert (outcome.state, outcome.evidence) == (state, evidence)
    assert outcome.accuses is (number in (1, 2))
    assert outcome.slows is (number == 2)
    assert outcome.rule == (RULES[number].id if number < 4 else "tcp.unmatched")


def test_only_what_accuses_may_be_partial() -> None:
    for number in range(4):
        outcome = outcome_of(RULES, Layer.TCP, number, Reach.PASSED, partial=True)
        assert outcome.partial is outcome.accuses


def test_a_weak_accusation_keeps_its_name() -> None:
    blocked = Outcome(Layer.TCP, "tcp.reset", State.BLOCKED, True, Technique.TCP_RESET)
    weak = inconclusive(blocked)
    assert (weak.state, weak.evidence) == (State.INCONCLUSIVE, (WEAK,))
    assert (weak.accuses, weak.technique) == (True, Technique.TCP_RESET)
    down = Outcome(Layer.TCP, "tcp.control_fails_too", State.DOWN)
    assert inconclusive(down) is down
