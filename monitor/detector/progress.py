# SPDX-License-Identifier: Apache-2.0
"""How far the detector has come with a service. Memory holds only a copy of what is stored, and
when to look at it again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.detection.events.state import ServiceState
from monitor.detector.rest import NO_REST, Rest
from monitor.detector.saved_states import SavedStates, StatePart
from monitor.store.records import StoredRound


@dataclass
class ServiceProgress:
    """How far the detector has come with one service. Times are Unix milliseconds."""

    state: ServiceState
    late: int | None = None
    """Earliest folded round for which facts have arrived since."""
    waiting: dict[int, StoredRound] = field(default_factory=dict)
    """Rounds that are over and not folded yet."""
    next_check: int = 0
    """When its open rounds must be checked again, whatever arrives."""
    has_arrivals: bool = True
    """Whether anything arrived since its open rounds were last checked."""
    rest: Rest = NO_REST
    """When it is not checked: a large fleet must not cause a check with every message."""
    refolded_at: int = 0
    """When it was last folded again for old late facts."""
    refold_rest: Rest = NO_REST
    """When it is not folded again for old late facts."""
    states: SavedStates = field(default_factory=SavedStates)
    """The last saved states."""

    def note_arrival(self, round: int) -> None:
        """Note that a measurement of a round has arrived."""
        self.has_arrivals = True
        if round <= self.state.round:
            self.late = round if self.late is None else min(self.late, round)

    def check_again(self, at: int) -> None:
        """Check it at this time, if not before."""
        self.next_check = min(self.next_check, at)

    def saved(self, state: ServiceState, part: StatePart, refolded_after: int | None) -> None:
        """Go on from a state that was saved. `refolded_after` as in `Conclusions`."""
        self.state = state
        for round in [round for round in self.waiting if round <= state.round]:
            del self.waiting[round]
        self.states.saved(part, refolded_after)
