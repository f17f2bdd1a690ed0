# SPDX-License-Identifier: Apache-2.0
"""What a rule of judgement is. Rules are data: ordered tuples per layer, the first that matches
decides, and its id tells people and programs which one it was. Ids are never renamed.

Weights are micro-nats (integers, so that sums do not depend on their order): how much likelier
the signature is under blocking than under a natural failure. Sources, as quoted by the comments:
(fit) OONI's fitted log10 likelihood ratios over 126 labelled measurements, ooni/data
analysis-evaluation.ipynb, August 2026, times ln 10; (typed) ln(0.95/0.04), the shares of blocked
and of natural failures with a signature that our simulation assumes; (low) a class that the
literature calls too common to count for much. They are starting points; the simulator calibrates.

A failure has a **signature** when its rule weighs at least `Policy.signature_micronats`: natural
failures seldom look like it. Any other failure has none, for instance a mere time-out. An event in
which no network has one bears the remark `untyped`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from monitor.detection.model import Layer, State, Technique, layer_of
from monitor.detection.observed.kinds import Kind

F = TypeVar("F")
BY_CHANCE = "background_fails"
"""Evidence that the background of the round explains a failure (or a speed) as well."""


@dataclass(frozen=True)
class Rule(Generic[F]):
    """One named branch of judgement over the facts F of one layer."""

    id: str
    condition: Callable[[F], bool]
    state: State
    comment: str
    """For people: what was seen and why it means that."""
    technique: Technique | None = None
    weight: int = 0
    """Micro-nats; 0 where the rule does not accuse."""
    evidence: tuple[str, ...] = ()
    """Remarks that the verdict carries when this rule decided."""

    @property
    def layer(self) -> Layer | None:
        """The layer that the id names; None for rules about the vantage itself."""
        name = layer_of(self.id.removeprefix("imported.").replace("_", "."))
        return next((layer for layer in Layer if layer == name), None)


def first(rules: Sequence[Rule[F]], facts: F) -> Rule[F] | None:
    """Return the first rule whose condition holds, or None."""
    return next((rule for rule in rules if rule.condition(facts)), None)


def forged_answer(layer: Layer) -> Rule[Any]:
    """The rule for an address that came from a forged DNS answer."""
    return Rule(
        f"{layer}.answer_accused",
        lambda facts: facts.accused,
        State.INSUFFICIENT,
        "The address comes from a forged DNS answer: only the DNS is judged.",
    )


def background_fails(layer: Layer) -> Rule[Any]:
    """The rule for a weak sign that the background of the round explains as well."""
    return Rule(
        f"{layer}.background",
        lambda facts: facts.by_chance,
        State.INCONCLUSIVE,
        "So many of the attempts to reach other targets and liveness hosts died as well, over the "
        "same address family in the same round, or so few were made, or another name was answered "
        "so late, that losses, a full table of connections, a limit or a slow path explain this "
        "failure too.",
        evidence=(BY_CHANCE,),
    )


def udp_at_times(layer: Layer) -> Rule[Any]:
    """The rule for silence over UDP where the line passes few datagrams."""
    return Rule(
        f"{layer}.at_times",
        lambda facts: facts.kind is Kind.TIMEOUT and facts.udp_at_times,
        State.INCONCLUSIVE,
        "While it was tried again, a host that had answered over UDP did not, or only to a second "
        "request: the line lets few datagrams through, or none at times.",
        evidence=("udp_at_times",),
    )


def line_unseen(layer: Layer) -> Rule[Any]:
    """The rule for silence on a line that may have been away."""
    return Rule(
        f"{layer}.line_unseen",
        lambda facts: facts.line_unseen,
        State.INCONCLUSIVE,
        "No server answered, and nothing else was reached meanwhile: the line itself may have been "
        "away.",
        evidence=("line_unseen",),
    )


def family_broken(layer: Layer) -> Rule[Any]:
    """The rule for an address family that does not work at this vantage."""
    return Rule(
        f"{layer}.family_broken",
        lambda facts: facts.family_dead,
        State.VANTAGE_OFFLINE,
        "No liveness host was reached over this address family either: broken IPv6 (or IPv4).",
    )


def machine_late(layer: Layer) -> Rule[Any]:
    """The rule for a missing answer that may be the machine's own fault."""
    return Rule(
        f"{layer}.machine_late",
        lambda facts: facts.kind is Kind.LATE,
        State.INCONCLUSIVE,
        "No answer, and for half of the time waited or more this machine itself was "
        "overloaded, stood still or slept: nothing is known of the network.",
        evidence=("machine_late",),
    )


def local_refusal(layer: Layer) -> Rule[Any]:
    """The rule for a connection that the machine itself refused."""
    return Rule(
        f"{layer}.local",
        lambda facts: facts.kind is Kind.LOCAL,
        State.INCONCLUSIVE,
        "This machine itself refused, and nothing came from the network: a local firewall, or no "
        "route.",
        evidence=("local_refusal",),
    )
