"""docs/why-not-counted.md names every reason why a failure does not count, as the code has them."""

from __future__ import annotations

from pathlib import Path

from monitor.collector.admission import QuarantineReason
from monitor.detection.all_rules import ALL_RULES
from monitor.detection.events.explain import NO_VOTE
from monitor.detection.events.state import VantageOutcome
from monitor.detection.judge.target import OPEN_STATES
from monitor.detection.model import State
from monitor.text import words
from tests.why_not_counted import STATES, document, meanings

PAGE = Path(__file__).parent.parent / "docs/why-not-counted.md"


def test_the_page_is_what_the_code_says() -> None:
    written = PAGE.read_text(encoding="utf-8")
    assert written == document(), "python -m tests.why_not_counted > docs/why-not-counted.md"


def test_every_reason_is_on_it() -> None:
    written = PAGE.read_text(encoding="utf-8")
    harmless = {rule.id for rule in ALL_RULES if rule.state not in OPEN_STATES}
    assert len(harmless) > 50
    wanted = harmless | set(QuarantineReason) | set(NO_VOTE) | words.GATES.keys()
    assert {each for each in wanted if f"| `{each}` |" not in written} == set()
    accusing = {rule.id for rule in ALL_RULES if rule.state in OPEN_STATES}
    assert {each for each in accusing if f"| `{each}` |" in written} == set()


def test_every_state_and_outcome_is_explained() -> None:
    assert STATES.keys() == set(State) - set(OPEN_STATES)
    assert meanings(VantageOutcome).keys() == {each.value for each in VantageOutcome}
    assert all(meanings(VantageOutcome).values())
