# SPDX-License-Identifier: Apache-2.0
"""How far the detector has come with a service. Memory holds only a copy of what is stored, and
when to look at it again.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from monitor.detection.events.state import ServiceState
from monitor.detector.rest import NO_REST, Rest
from monitor.store.records import StoredRound

RECENT_STATES = 8
"""States of a service that are kept in memory: late facts of the last rounds are then folded from
the round before them, and not from the checkpoint of the last hour."""


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
    recent: deque[tuple[int, bytes]] = field(default_factory=lambda: deque(maxlen=RECENT_STATES))
    """The last saved states, encoded, each with its round."""

    def note_arrival(self, round: int) -> None:
        """Note that a measurement of a round has arrived."""
        self.has_arrivals = True
        if round <= self.state.round:
            self.late = round if self.late is None else min(self.late, round)

    def check_again(self, at: int) -> None:
        """Check it at this time, if not before."""
        self.next_check = min(self.next_check, at)

    def state_before(self, round: int) -> bytes | None:
        """The newest state in memory of an earlier round, encoded."""
        return next((raw for last, raw in reversed(self.recent) if last < round), None)

    def saved(self, state: ServiceState, raw: bytes, refolded_after: int | None) -> None:
        """Go on from a state that was saved. `refolded_after` as in `Conclusions`."""
        self.state = state
        for round in [round for round in self.waiting if round <= state.round]:
            del self.waiting[round]
        if refolded_after is not None:
            kept = [old for old in self.recent if old[0] <= refolded_after]
            self.recent = deque(kept, maxlen=RECENT_STATES)
        self.recent.append((state.round, raw))
