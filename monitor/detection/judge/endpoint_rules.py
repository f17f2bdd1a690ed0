# SPDX-License-Identifier: Apache-2.0
"""The state of an endpoint, by what its lookups and addresses show together: an ordered table, of
which the first row that matches decides. Its ids name rows, and stand in no verdict."""

from __future__ import annotations

import msgspec

from monitor.detection.model import State
from monitor.detection.rule import Rule

_ACCUSING = frozenset((State.BLOCKED, State.IMPAIRED))


class EndpointProgress(msgspec.Struct, frozen=True, gc=False):
    """How far an app gets."""

    reached: bool = False
    """An address of its own works, or the name resolves where that is all."""
    begun: bool = False
    """Every step that was tried passed at one of its own addresses, and the last step of the
    protocol was tried nowhere."""
    finished: bool = False
    """It is reached, and the last step passed."""


class EndpointEvidence(msgspec.Struct, frozen=True, gc=False):
    """What the lookups and the addresses of one endpoint show together."""

    resolves: bool
    """A lookup of its name passed, or none is needed."""
    progress: EndpointProgress
    states: frozenset[State]
    """Of its lookups and of the addresses that count."""
    slowed: State | None = None
    """The state of a rule that says throttled; None without one."""

    @property
    def accused(self) -> bool:
        """A lookup or an address is blocked, or a part of it."""
        return not self.states.isdisjoint(_ACCUSING)

    @property
    def opens(self) -> bool:
        """An app gets somewhere, be it slowly."""
        some = self.progress.reached or self.progress.begun or self.slowed is not None
        return self.resolves and some


ENDPOINT_RULES: tuple[Rule[EndpointEvidence], ...] = (
    Rule(
        "endpoint.impaired",
        lambda endpoint: endpoint.accused and endpoint.opens,
        State.IMPAIRED,
        "A part is blocked, and an app gets somewhere by the rest.",
    ),
    Rule(
        "endpoint.blocked",
        lambda endpoint: endpoint.accused,
        State.BLOCKED,
        "What is not blocked leads nowhere.",
    ),
    Rule(
        "endpoint.throttled",
        lambda endpoint: endpoint.resolves and endpoint.slowed is State.THROTTLED,
        State.THROTTLED,
        "It works, too slowly to be useful.",
    ),
    Rule(
        "endpoint.slow",
        lambda endpoint: endpoint.resolves and endpoint.slowed is not None,
        State.INCONCLUSIVE,
        "It works, too slowly to be useful, and no control shows that it could be faster.",
    ),
    Rule(
        "endpoint.works",
        lambda endpoint: endpoint.resolves and endpoint.progress.finished,
        State.OK,
        "The last step of its protocol passed.",
    ),
    Rule(
        "endpoint.unfinished",
        lambda endpoint: endpoint.resolves and endpoint.progress.reached,
        State.INSUFFICIENT,
        "What was tried works, and the last step of its protocol was not tried.",
    ),
    Rule(
        "endpoint.unclear",
        lambda endpoint: State.INCONCLUSIVE in endpoint.states,
        State.INCONCLUSIVE,
        "Something fails, and the cause is not proven.",
    ),
    Rule(
        "endpoint.down",
        lambda endpoint: State.DOWN in endpoint.states,
        State.DOWN,
        "What fails, fails for the control too.",
    ),
    Rule(
        "endpoint.family_broken",
        lambda endpoint: State.VANTAGE_OFFLINE in endpoint.states,
        State.INCONCLUSIVE,
        "It was tried over an address family alone that does not work at this vantage.",
    ),
    Rule(
        "endpoint.insufficient",
        lambda _: True,
        State.INSUFFICIENT,
        "Nothing that was tried leads to a state.",
    ),
)
