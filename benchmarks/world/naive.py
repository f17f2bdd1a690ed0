# SPDX-License-Identifier: Apache-2.0
"""Simple rules that others use, on the same facts, for one network.

Measurements with a failing or missing control, or from an offline vantage, are left out, which
favours these rules. `feed` returns the names of the rules that are alarmed after a round.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterable

from benchmarks.world.faults import HOUR_MS
from monitor.detection.events import gates
from monitor.detection.events.state import VantageOutcome
from monitor.detection.model import Fact

IN_A_ROW, WINDOW, OONI = "3 in a row", "> 50 % in an hour", "OONI's CUSUM"
RULES = (IN_A_ROW, WINDOW, OONI)
WINDOW_LEAST = 6
"""Measurements that an hour must hold before its share says anything."""
# ooni/data oonipipeline/analysis/detector.py as of 2026: mu0 = 0, mu1 = 0.7, h = edd * 0.7 / 2
# with edd = 10, accumulators halve after 48 h without data.
DRIFT = 0.7 / 2
THRESHOLD = 10 * 0.7 / 2
FADE_MS = 48 * HOUR_MS


class Naive:
    """The state of all naive rules over one network."""

    def __init__(self) -> None:
        self._streaks: dict[str, int] = {}
        self._window: deque[tuple[int, int, int]] = deque()
        self._hour, self._scores = 0, list[int]()
        self._sum, self._summed, self._alarmed = 0.0, 0, False

    def copy(self) -> Naive:
        """A copy to go on from."""
        new = Naive()
        new._streaks, new._window = dict(self._streaks), deque(self._window)
        new._hour, new._scores = self._hour, list(self._scores)
        new._sum, new._summed, new._alarmed = self._sum, self._summed, self._alarmed
        return new

    def feed(self, round: int, facts: Iterable[Fact]) -> set[str]:
        """Take one round's facts of the network."""
        total = failed = 0
        hour = round // HOUR_MS
        if hour != self._hour:
            self._ended(hour)
        for fact in facts:
            outcome = gates.outcome(fact)
            if outcome not in (VantageOutcome.GOOD, VantageOutcome.BAD):
                continue
            bad = outcome is VantageOutcome.BAD
            self._streaks[fact.probe] = self._streaks.get(fact.probe, 0) + 1 if bad else 0
            total, failed = total + 1, failed + bad
            self._scores.append(int(bad))
        self._window.append((round, total, failed))
        while self._window[0][0] <= round - HOUR_MS:
            self._window.popleft()
        alarmed = {OONI} if self._alarmed else set()
        if any(streak >= 3 for streak in self._streaks.values()):
            alarmed.add(IN_A_ROW)
        seen = sum(n for _, n, _ in self._window)
        if seen >= WINDOW_LEAST and 2 * sum(n for _, _, n in self._window) > seen:
            alarmed.add(WINDOW)
        return alarmed

    def _ended(self, hour: int) -> None:
        """Close the hour that is over: one step of the CUSUM on its median."""
        if self._scores:
            at = self._hour * HOUR_MS
            if self._summed and at - self._summed > FADE_MS:
                self._sum /= 2
            median = statistics.median(self._scores)
            self._sum = max(0.0, self._sum + median - DRIFT)
            self._summed = at
            if self._alarmed:
                self._alarmed = median > DRIFT
                self._sum = 0.0
            elif self._sum >= THRESHOLD:
                self._alarmed, self._sum = True, 0.0
        self._hour, self._scores = hour, []
