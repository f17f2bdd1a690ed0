# SPDX-License-Identifier: Apache-2.0
"""What one rule says of one lookup or one address, with the control taken into account.

The rule's state becomes `inconclusive` where the control did not pass the same step; the rule's
technique is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from monitor.detection.model import Layer, State, Technique
from monitor.detection.observed.endpoint_context import Reach
from monitor.detection.rule import Rule, first

F = TypeVar("F")
STRONG = 2_000_000
"""A signature of more than this weight accuses an address even if the control did not measure this
address."""
_UNCLEAR = ".unclear"
"""End of the ids of catch-all rules: the verdict's evidence then says what was seen."""
WEAK = "weak_sign"
"""Evidence that an accusation is weak, and the endpoint works in another way."""


@dataclass(frozen=True)
class Outcome:
    """The result of one rule for one lookup or one address."""

    layer: Layer
    rule: str
    state: State
    """With the control taken into account."""
    accuses: bool = False
    """The rule itself says blocked, whatever the control saw."""
    technique: Technique | None = None
    weight: int = 0
    evidence: tuple[str, ...] = ()
    here: bool = True
    """The control passed this step at this very address (or the step has no address)."""
    partial: bool = False
    """Some connections fail so and others pass."""
    slows: bool = False
    """The rule itself says throttled: the step works, but too slowly to be useful."""
    cuts: bool = False
    """The connection dies after its handshake, in place of the app's own step."""


def outcome_of(
    rules: Sequence[Rule[F]],
    layer: Layer,
    facts: F,
    reach: Reach,
    here: bool = True,
    evidence: tuple[str, ...] = (),
    partial: bool = False,
) -> Outcome:
    """Return what the first rule that matches says. `evidence` is quoted where something failed;
    `partial`: some connections passed."""
    rule = first(rules, facts)
    if rule is None:  # only when a tuple has lost its last rule
        return Outcome(layer, f"{layer}.unmatched", State.INCONCLUSIVE)
    accuses = rule.state in (State.BLOCKED, State.THROTTLED)
    state, extra = rule.state, rule.evidence
    if accuses and reach is not Reach.PASSED:
        state = State.INCONCLUSIVE
        extra += ("no_control" if reach is Reach.UNKNOWN else "control_fails",)
    if rule.state is not State.OK:
        extra += evidence
    if rule.id.endswith(_UNCLEAR):
        extra += (f"{layer}:{getattr(facts, 'kind', 'unknown')}",)
    return Outcome(
        layer,
        rule.id,
        state,
        accuses,
        rule.technique,
        rule.weight,
        extra,
        here,
        partial and accuses,
        rule.state is State.THROTTLED,
    )


def inconclusive(outcome: Outcome, why: str = WEAK) -> Outcome:
    """A weak accusation as inconclusive."""
    if outcome.state is not State.BLOCKED:
        return outcome
    return replace(outcome, state=State.INCONCLUSIVE, evidence=(*outcome.evidence, why))
