# SPDX-License-Identifier: Apache-2.0
"""How long measurements of the rounds in progress wait for the rest of them, so that a round is one
batch. A retest is a round of its own, and may run beside another."""

from __future__ import annotations

import asyncio


class RoundsInProgress:
    """The rounds in progress. Times are those of the event loop."""

    def __init__(self, linger_seconds: float, hurry_seconds: float) -> None:
        """Measurements wait `linger_seconds` at most, and `hurry_seconds` after `hurry`."""
        self._linger, self._hurry = linger_seconds, hurry_seconds
        self._open: list[int] = []
        self._until = 0.0

    def begin(self, round_ms: int) -> None:
        """Let measurements of this round wait."""
        if not self._open:
            self._until = _now() + self._linger
        self._open.append(round_ms)

    def hurry(self) -> None:
        """Let them wait a little only."""
        self._until = min(self._until, _now() + self._hurry)

    def end(self, round_ms: int) -> None:
        """Let no measurements of this round wait any more, nor what was stored before them."""
        if round_ms in self._open:
            self._open.remove(round_ms)
            self._until = _now()

    def end_all(self) -> None:
        """Let none wait any more."""
        self._open.clear()

    def holds(self, round_ms: int) -> bool:
        """Whether measurements of this round wait now."""
        return round_ms in self._open and _now() < self._until

    def next_end(self) -> float | None:
        """Until when they wait; from then on what comes later waits again. None without a round."""
        if not self._open:
            return None
        if _now() >= self._until:
            self._until = _now() + self._linger
        return self._until


def _now() -> float:
    return asyncio.get_running_loop().time()
