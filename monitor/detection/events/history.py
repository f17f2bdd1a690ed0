# SPDX-License-Identifier: Apache-2.0
"""Stored measurements, round after round, through judge and detector. The live detector and replay
use the same code, so that both give the same result.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from monitor.detection.all_rules import rules_version
from monitor.detection.events import state as states
from monitor.detection.events.explain import RoundEvidence, round_evidence
from monitor.detection.events.fold import step
from monitor.detection.events.imported import neighbours
from monitor.detection.events.imported.neighbours import Told
from monitor.detection.events.state import NetworkSign, ServiceState
from monitor.detection.fingerprints import OWN, Fingerprints
from monitor.detection.judge.round_facts import facts_of
from monitor.detection.model import (
    NO_RETRACTIONS,
    OWN_SOURCE,
    ClosedGate,
    Event,
    Fact,
    Retraction,
    Stored,
)
from monitor.detection.policy import Policy
from probes.wire.measurement import Role

MAX_HOLE_MS = 3_600_000
"""Longest gap between rounds that are read in one query: one query is cheaper than two."""
Observe = Callable[
    [ServiceState, ServiceState, int, Sequence[Fact], Mapping[str, ClosedGate]], None
]
"""Gets the states before and after a round, the round, its facts, and the closed gates by key of a
network."""


class ByRound:
    """Measurements of a service, or of liveness, sorted by round."""

    def __init__(self, stored: Iterable[Stored]) -> None:
        self._stored = sorted(stored, key=lambda one: one.measurement.round)
        self._rounds = [one.measurement.round for one in self._stored]

    def between(self, first: int, last: int) -> list[Stored]:
        """Those of rounds first..last, both included."""
        rounds = self._rounds
        return self._stored[bisect_left(rounds, first) : bisect_right(rounds, last)]


def by_role(stored: Sequence[Stored]) -> tuple[ByRound, ByRound]:
    """Those of controls, and the others."""
    controls = ByRound(one for one in stored if one.role is Role.CONTROL)
    return controls, ByRound(one for one in stored if one.role is not Role.CONTROL)


class Folding:
    """A fold of one service in progress, and its results so far.

    `events` holds the latest form of every changed event, `facts` what was folded, `evidence` what
    to keep of each round and `checkpoints` the states to keep. The caller may empty them after
    saving them.
    """

    def __init__(
        self,
        state: ServiceState,
        policy: Policy,
        *,
        keep: bool = True,
        fingerprints: Fingerprints = OWN,
        observe: Observe | None = None,
        pending: bool = False,
        retractions: Mapping[str, Retraction] = NO_RETRACTIONS,
        told: Callable[[], Told] = dict,
    ) -> None:
        """Continue from a state. `keep`: collect facts, evidence and checkpoints. `observe` is
        called after each round and changes nothing. `pending`: the rounds are not complete, and the
        results are discarded later (`monitor.detection.judge.round_facts.facts_of`).
        `retractions`: what operators retracted, by id of an event. `told`: what services
        that are folded beside this one have told, as far as the hour before at least."""
        self.state = state
        self.policy = policy
        self.events: dict[str, Event] = {}
        self.facts: list[Fact] = []
        self.evidence: list[RoundEvidence] = []
        self.checkpoints: list[tuple[int, bytes]] = []
        self._keep = keep
        self._observe = observe
        self._pending = pending
        self._retractions = retractions
        self._told = told
        self._fingerprints = fingerprints
        self._rules_version = rules_version(fingerprints.version)

    def fold(self, rounds: Sequence[int], stored: Sequence[Stored]) -> None:
        """Fold rounds (ascending, all later than the state's).

        `stored` holds the measurements of these rounds and of the control window before the
        first, of this service and of liveness, in any order.
        """
        self.fold_read(rounds, *by_role(stored))

    def fold_read(self, rounds: Sequence[int], controls: ByRound, vantages: ByRound) -> None:
        """Fold rounds, with the measurements of controls and of others."""
        window = self.policy.ms(self.policy.rounds.control_window_seconds)
        for round in rounds:
            # Of earlier rounds only controls are needed.
            near = controls.between(round - window, round) + vantages.between(round, round)
            self.fold_facts(
                round,
                facts_of(near, round, self.policy, self._fingerprints, pending=self._pending),
            )

    def fold_facts(self, round: int, facts: Sequence[Fact]) -> None:
        """Fold one round, later than the state's, of which the facts are known."""
        if self._keep:
            self._checkpoint(round)
        before, closed_gates = self.state, dict[str, ClosedGate]()
        self.state, touched = step(
            before,
            round,
            facts,
            self.policy,
            rules_version=self._rules_version,
            closed_gates=closed_gates,
            retractions=self._retractions,
            heard=self._heard(round, facts),
        )
        if self._observe is not None:
            self._observe(before, self.state, round, facts, closed_gates)
        self.events.update({event.id: event for event in touched})
        if self._keep:
            self.facts += facts
            self.evidence += round_evidence(
                before, self.state, round, facts, closed_gates, touched, self.policy
            )

    def _heard(self, round: int, facts: Sequence[Fact]) -> tuple[NetworkSign, ...]:
        """What other services' states tell of the hour. Our own vantages measure all services
        themselves, and their evidence does not add up over services."""
        if all(fact.source == OWN_SOURCE for fact in facts):
            return ()
        return neighbours.heard(self.state.service, self._told(), round, self.policy)

    def _checkpoint(self, round: int) -> None:
        """Keep the state when `round` begins a new checkpoint period."""
        width = max(1, self.policy.ms(self.policy.rounds.checkpoint_seconds))
        if self.state.round >= 0 and self.state.round // width != round // width:
            self.checkpoints.append((self.state.round, states.encode(self.state)))


def by_hour(
    rounds: Mapping[str, Sequence[int]], policy: Policy
) -> Iterator[tuple[str, Sequence[int]]]:
    """The rounds of services, hour after hour: in which order those of one hour are folded does
    not matter (`imported.neighbours`)."""
    hour = policy.ms(policy.imported.imported_together_seconds)
    hours: dict[int, dict[str, list[int]]] = {}
    for service, some in rounds.items():
        for round in some:
            hours.setdefault(round // hour, {}).setdefault(service, []).append(round)
    for _, here in sorted(hours.items()):
        yield from here.items()


def chunks(rounds: Sequence[int], most: int, policy: Policy) -> Iterator[Sequence[int]]:
    """Rounds (ascending) in chunks of at most `most`, none with a gap much wider than the control
    window: measurements in a gap need not be read, and may be many."""
    window = policy.ms(policy.rounds.control_window_seconds)
    start = 0
    for end in range(1, len(rounds) + 1):
        if (
            end == len(rounds)
            or end - start == most
            or rounds[end] - rounds[end - 1] > max(window, MAX_HOLE_MS)
        ):
            yield rounds[start:end]
            start = end


def sort_events(events: Sequence[Event]) -> list[Event]:
    """Events in the order in which replay prints them."""
    return sorted(events, key=lambda e: (e.opened, e.service, e.country, e.source, e.id))
