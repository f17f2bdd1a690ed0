# SPDX-License-Identifier: Apache-2.0
"""How long measurements of the round in progress wait for the rest of it, so that a round is one
batch."""

from __future__ import annotations

import asyncio


class OpenRound:
    """The round in progress, if there is one. Times are those of the event loop."""

    def __init__(self, linger_seconds: float, hurry_seconds: float) -> None:
        """Measurements wait `linger_seconds` at most, and `hurry_seconds` after `hurry`."""
        self._linger, self._hurry = linger_seconds, hurry_seconds
        self._round_ms: int | None = None
        self._until = 0.0

    def begin(self, round_ms: int) -> None:
        """Let measurements of this round wait."""
        self._round_ms, self._until = round_ms, _now() + self._linger

    def hurry(self) -> None:
        """Let them wait a little only."""
        self._until = min(self._until, _now() + self._hurry)

    def end(self) -> None:
        """Let none wait any more."""
        self._round_ms = None

    def holds(self, round_ms: int) -> bool:
        """Whether measurements of this round wait now."""
        return round_ms == self._round_ms and _now() < self._until

    def next_end(self) -> float | None:
        """Until when they wait; from then on what comes later waits again. None without a round."""
        if self._round_ms is None:
            return None
        if _now() >= self._until:
            self._until = _now() + self._linger
        return self._until


def _now() -> float:
    return asyncio.get_running_loop().time()
