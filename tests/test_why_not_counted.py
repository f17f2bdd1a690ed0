"""docs/why-not-*.md name every reason why a failure does not count, as the code has them."""

from __future__ import annotations

from pathlib import Path

from monitor.collector.admission import QuarantineReason
from monitor.detection.all_rules import ALL_RULES
from monitor.detection.events.explain import NO_VOTE
from monitor.detection.events.state import VantageOutcome
from monitor.detection.judge.target import OPEN_STATES
from monitor.detection.model import State
from monitor.text import words
from tests.why_not_counted import RULE_PAGES, STATES, documents, meanings

DOCS = Path(__file__).parent.parent / "docs"


def pages() -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in DOCS.glob("why-not-*.md")}


def test_the_pages_are_what_the_code_says() -> None:
    assert pages() == documents(), "python -m tests.why_not_counted docs"


def test_every_reason_is_on_it() -> None:
    written = "".join(pages().values())
    harmless = {rule.id for rule in ALL_RULES if rule.state not in OPEN_STATES}
    assert len(harmless) > 50
    wanted = harmless | set(QuarantineReason) | set(NO_VOTE) | words.GATES.keys()
    assert {each for each in wanted if f"| `{each}` |" not in written} == set()
    accusing = {rule.id for rule in ALL_RULES if rule.state in OPEN_STATES}
    assert {each for each in accusing if f"| `{each}` |" in written} == set()


def test_every_state_and_outcome_is_explained() -> None:
    assert STATES.keys() == set(State) - set(OPEN_STATES)
    assert sorted(state for states in RULE_PAGES.values() for state in states) == sorted(STATES)
    assert meanings(VantageOutcome).keys() == {each.value for each in VantageOutcome}
    assert all(meanings(VantageOutcome).values())
