"""Writes the pages on why a failure does not count from the tables of the code:
`python -m tests.why_not_counted docs`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from monitor.collector.admission import QuarantineReason
from monitor.detection.all_rules import ALL_RULES
from monitor.detection.events.explain import NO_VOTE
from monitor.detection.events.state import VantageOutcome
from monitor.detection.model import State
from monitor.detection.policy import Policy
from monitor.text import event_evidence, words
from monitor.web.pages.method import WHOLE, policy_meanings
from monitor.web.pages.status import QUARANTINE
from probes.wire.dictionary import field_meanings

STATES = {
    State.OK: "It works, or what fails says nothing of this service",
    State.DOWN: "It fails for the control as well",
    State.VANTAGE_OFFLINE: "The vantage is offline",
    State.INCONCLUSIVE: "It fails, and the cause is not proven",
    State.INSUFFICIENT: "Too little was seen",
}
RULE_PAGES: Mapping[str, Sequence[State]] = {
    "why-not-counted-harmless.md": [
        *(State.OK, State.DOWN, State.VANTAGE_OFFLINE, State.INSUFFICIENT),
    ],
    "why-not-counted-unproven.md": (State.INCONCLUSIVE,),
}
LIMITS = (
    "late_seconds",
    "residual_seconds",
    "control_window_seconds",
    "natural_micronats",
    "vantage_min_age_seconds",
    "silent_seconds",
    "chronic_per_mille",
    "lone_seconds",
    "elsewhere_per_mille",
    "elsewhere_min_networks",
    "elsewhere_min_owners",
    "dark_per_mille",
    "owner_vantages",
)
"""Values of the policy that decide whether a failure counts."""
HEAD = """\
# Why a failure does not count

For researchers who ask why a failure is no evidence, and for operators who miss measurements. Each
reason has an id, by which pages, API, metrics and `reachwatch explain` name it. Generated from the
tables of the code by `python -m tests.why_not_counted docs`.

A failure passes these stages, and each can stop it:
[arrival](#arrival) → [the rules](#rules) → [control and liveness](#control-and-liveness) →
[the vote of the vantage](#vote) → [the gates](#gates) → [the limits of the policy](#limits).
What passes all of them is evidence; [remarks](#remarks) say what speaks against an event.
"""


def meanings(enumeration: type[VantageOutcome]) -> Mapping[str, str]:
    """The docstrings of the members of an enumeration, by value."""
    said = field_meanings(enumeration)
    return {each.value: said[each.name] for each in enumeration}


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """A Markdown table."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def lines() -> Iterator[str]:
    yield HEAD
    yield "## Arrival"
    yield "\nThe collector quarantines a measurement, or a batch, and nothing judges it"
    yield "(`monitor/collector/admission.py`).\n"
    yield from table(
        ("reason", "a measurement"),
        ((f"`{reason}`", QUARANTINE[reason]) for reason in QuarantineReason),
    )
    yield "\nA batch in a newer format stays at its probe until the collector knows it."
    yield "\n## Rules"
    yield "\nRules of each layer are tried in order, and the first that matches decides. These"
    yield "accuse nobody:\n"
    yield from table(
        ("state", "meaning", "rules"),
        (
            (f"`{state}`", STATES[state], f"[{name}]({name})")
            for name, states in RULE_PAGES.items()
            for state in states
        ),
    )
    yield "\nThe rules of imported measurements (`imported.…`) never accuse on their own: imports"
    yield "have no control ([ooni-events.md](ooni-events.md))."
    yield "\n## Control and liveness"
    yield "\nWhat a verdict means for the gates and for the evidence"
    yield "(`monitor/detection/events/gates.py`). Only `bad` adds evidence.\n"
    known = meanings(VantageOutcome)
    yield from table(
        ("outcome", "meaning"),
        ((f"`{each or '(empty)'}`", known[each.value]) for each in VantageOutcome),
    )
    yield "\n## Vote"
    yield "\nA vantage that, for one of these reasons, has no vote adds no evidence"
    yield "(`monitor/detection/events/explain.py`).\n"
    yield from table(("reason", "the vantage"), ((f"`{w}`", words.NO_VOTES[w]) for w in NO_VOTE))
    yield "\n## Gates"
    yield "\nA closed gate lets no failure of a network count, whoever measured it"
    yield "(`monitor/detection/events/outages.py`).\n"
    yield from table(("gate", "why"), ((f"`{g}`", text) for g, text in words.GATES.items()))
    yield "\n## Limits"
    yield "\nThe default values of `monitor/detection/policy.py`.\n"
    values, written = Policy().values(), policy_meanings()
    yield from table(
        ("value", "default", "meaning"),
        ((f"`{name}`", str(values[name]), written[name]) for name in LIMITS),
    )
    yield "\n## Remarks"
    yield "\nThese do not stop a failure, but an event that has them is less certain, and some keep"
    yield "it from confirmation (`monitor/detection/events/series_summary.py`).\n"
    yield from table(
        ("remark", "meaning"), ((f"`{r}`", t) for r, t in event_evidence.AGAINST.items())
    )


def rule_lines(states: Sequence[State]) -> Iterator[str]:
    """The rules whose state is one of these."""
    yield "# Rules that accuse nobody\n"
    yield "In the order in which they are tried within each layer; the first that matches decides."
    yield "[why-not-counted.md](why-not-counted.md) lists the other reasons why a failure does not"
    yield "count. Generated by `python -m tests.why_not_counted docs`."
    for state in states:
        yield f"\n## {STATES[state]} (`{state}`)\n"
        rules = [
            (rule.id, words.rule_comment(rule.id)) for rule in ALL_RULES if rule.state is state
        ]
        rules += [(id, text) for id, (its, text) in WHOLE.items() if its is state]
        yield from table(("rule", "why"), ((f"`{id}`", text) for id, text in rules))


def documents() -> Mapping[str, str]:
    """The pages by name."""
    pages = {"why-not-counted.md": lines()}
    pages |= {name: rule_lines(states) for name, states in RULE_PAGES.items()}
    return {name: "\n".join(text) + "\n" for name, text in pages.items()}


if __name__ == "__main__":
    for name, text in documents().items():
        (Path(sys.argv[1]) / name).write_text(text, encoding="utf-8")
