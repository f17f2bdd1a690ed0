# SPDX-License-Identifier: Apache-2.0
"""How many vantages were watching, over time: the strip that keeps "no data" from being read as
"nothing is wrong". Pure: counts in, steps and one sentence out.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from monitor.web.draw import strips
from monitor.web.text import words


class Step(msgspec.Struct, frozen=True):
    """Slices in a row in which equally many vantages measured."""

    n: int
    x: int
    width: int
    begin: int
    end: int

    @property
    def said(self) -> str:
        """`3 vantages`, `nobody`."""
        return words.plural(self.n, "vantage") if self.n else "nobody"


class Coverage(msgspec.Struct, frozen=True):
    """A strip of counts over `slices` units of width; heights are shares of `most`."""

    steps: tuple[Step, ...]
    slices: int
    since: int
    until: int
    most: int
    summary: str


def slots(window: strips.Window, interval: int) -> strips.Window:
    """The window in slices no shorter than an interval (ms), so that each holds a round."""
    length = window.until - window.since
    return strips.Window(
        window.since, window.until, max(1, min(window.slices, length // max(1, interval)))
    )


def coverage(counts: Mapping[int, int], window: strips.Window) -> Coverage:
    """Return the strip; `counts` are vantages by number of slice."""
    steps: list[Step] = []
    for index in range(window.slices):
        n = counts.get(index, 0)
        begin = window.since + index * window.width
        end = begin + window.width
        if steps and steps[-1].n == n:
            last = steps[-1]
            steps[-1] = Step(n, last.x, last.width + 1, last.begin, end)
        else:
            steps.append(Step(n, index, 1, begin, end))
    most = max((step.n for step in steps), default=0)
    return Coverage(
        tuple(steps), window.slices, window.since, window.until, most, _summary(steps, most)
    )


def _summary(steps: list[Step], most: int) -> str:
    if most == 0:
        return "Nobody measured in this time: nothing is known of it."
    seen = [step for step in steps if step.n]
    least = min(step.n for step in seen)
    said = (
        f"{words.plural(most, 'vantage')} measured"
        if least == most
        else f"{least} to {words.plural(most, 'vantage')} measured at a time"
    )
    gap = sum(step.end - step.begin for step in steps if not step.n)
    if not gap:
        return f"{said} all the time."
    return f"{said}; for {words.lasted(gap)} nobody did, and nothing is known of that time."
