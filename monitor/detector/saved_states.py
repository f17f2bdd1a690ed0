# SPDX-License-Identifier: Apache-2.0
"""The last states of a service that were saved, as they were saved: a whole one, and after it what
changed in each that followed, until the changes are as large as the whole.

So saving costs what changed. Late facts of the last rounds are folded from the state before them,
which is here, and not from the checkpoint of the last hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from monitor.detection.events.state import ServiceState, encode, packed
from monitor.detection.events.state_change import change_between, members, new_members

RECENT_STATES = 8
"""States that can be restored."""


class StatePart(NamedTuple):
    """A saved state: whole, or what changed since the part before."""

    round: int
    is_whole: bool
    body: bytes
    members: int
    """How many vantages it holds, on all targets."""


class SavedStates:
    """Those of one service; none at first, and after another process saved some."""

    def __init__(self) -> None:
        self._parts: list[StatePart] = []

    def part(
        self, last: ServiceState, state: ServiceState, refolded_after: int | None = None
    ) -> StatePart:
        """The form in which to save a state that was folded from `last`, which was saved last, or
        from an earlier one (`refolded_after` as in `Conclusions`)."""
        if self._parts and refolded_after is None and last.round < state.round:
            size = new_members(last, state)
            if self._has_room(size):
                return StatePart(state.round, False, packed(change_between(last, state)), size)
        return StatePart(state.round, True, encode(state), members(state))

    def _has_room(self, size: int) -> bool:
        """Whether one more change of this size costs less than a whole state does."""
        start = self._whole_before(len(self._parts))
        whole, *changes = self._parts[start:]
        return 2 * size <= whole.members and sum(c.members for c in changes) + size <= whole.members

    def saved(self, part: StatePart, refolded_after: int | None) -> None:
        """Remember a state that was saved. `refolded_after` as in `Conclusions`."""
        if refolded_after is not None:
            self._parts = [old for old in self._parts if old.round <= refolded_after]
        self._parts.append(part)
        del self._parts[: self._whole_before(max(1, len(self._parts) - RECENT_STATES + 1))]

    def before(self, round: int) -> Sequence[bytes] | None:
        """The newest one of an earlier round, as `state_change.restored` takes it."""
        end = sum(part.round < round for part in self._parts)
        return [part.body for part in self._parts[self._whole_before(end) : end]] or None

    def _whole_before(self, end: int) -> int:
        """Where the state begins whose last part is the one before `end`."""
        return max((n for n in range(end) if self._parts[n].is_whole), default=0)
