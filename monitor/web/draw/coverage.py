# SPDX-License-Identifier: Apache-2.0
"""How many vantages measured over time, as a strip of heights; of volunteers of OONI, in how many
networks they did."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from monitor.text import words
from monitor.text.language import _, n_
from monitor.web.draw.strips import Window


class Watchers(StrEnum):
    """Whose measurements are counted."""

    OWN = "own"
    OTHERS = "others"
    """Those that others publish, whose vantages cannot be told apart: a network counts as one."""
    BOTH = "both"

    def counted(self, n: int) -> str:
        """`3 vantages`, and what they are otherwise."""
        match self:
            case Watchers.OWN:
                return words.plural(n, "vantage")
            case Watchers.OTHERS:
                return n_(
                    "%(n)s network measured by volunteers of OONI",
                    "%(n)s networks measured by volunteers of OONI",
                    n,
                )
            case Watchers.BOTH:
                return n_(
                    "%(n)s vantage or network measured by volunteers of OONI",
                    "%(n)s vantages and networks measured by volunteers of OONI",
                    n,
                )


class CoverageRun(msgspec.Struct, frozen=True):
    """Slices in a row in which equally many vantages measured."""

    n: int
    x: int
    width: float
    begin: int
    end: int
    watchers: Watchers = Watchers.OWN

    @property
    def label(self) -> str:
        """`3 vantages`, `nobody`."""
        return self.watchers.counted(self.n) if self.n else _("nobody")


class VantageCoverage(msgspec.Struct, frozen=True):
    """A strip of counts over `slices` units of width; heights are shares of `most`."""

    runs: tuple[CoverageRun, ...]
    slices: int
    since: int
    until: int
    most: int
    summary: str
    watchers: Watchers


def coverage_window(window: Window, interval: int) -> Window:
    """The window in slices no shorter than an interval (ms), so that each holds a round."""
    length = window.until - window.since
    slices = max(1, min(window.slices, length // max(1, interval)))
    return Window(window.since, window.until, slices, window.last)


def coverage_strip(
    counts: Mapping[int, int], window: Window, watchers: Watchers = Watchers.OWN
) -> VantageCoverage:
    """Return the strip; `counts` are vantages by number of slice. It ends with the window's
    `last`."""
    runs: list[CoverageRun] = []
    until = window.since + window.slices * window.width
    if window.last is not None:
        until = min(until, window.last)
    for index in range(window.slices):
        n = counts.get(index, 0)
        begin = window.since + index * window.width
        if begin >= until:
            break
        end = min(begin + window.width, until)
        share = (end - begin) / window.width
        if runs and (last := runs[-1]).n == n:
            runs[-1] = replace(last, width=last.width + share, end=end)
        else:
            runs.append(CoverageRun(n, index, share, begin, end, watchers))
    most = max((run.n for run in runs), default=0)
    return VantageCoverage(
        tuple(runs),
        window.slices,
        window.since,
        window.until,
        most,
        _summary(runs, most, watchers, window.width),
        watchers,
    )


def _summary(runs: list[CoverageRun], most: int, watchers: Watchers, width: int) -> str:
    if most == 0:
        return _("Nobody measured in this period, so nothing is known about it.")
    seen = [run for run in runs if run.n]
    least = min(run.n for run in seen)
    label = _label(least, most, watchers)
    gap = sum(run.end - run.begin for run in runs if not run.n)
    if not gap:
        each = words.duration_text(width)
        return _("%(vantages)s in every %(length)s.", vantages=label, length=each)
    return _(
        "%(vantages)s; no measurements for %(time)s, so nothing is known about that time.",
        vantages=label,
        time=words.duration_text(gap),
    )


def _label(least: int, most: int, watchers: Watchers) -> str:
    if watchers is not Watchers.OWN:
        counted = watchers.counted(most)
        if least == most:
            return counted
        return _("%(least)s to %(watchers)s at a time", least=least, watchers=counted)
    return (
        n_("%(n)s vantage measured", "%(n)s vantages measured", most)
        if least == most
        else n_(
            "%(least)s to %(n)s vantage measured at a time",
            "%(least)s to %(n)s vantages measured at a time",
            most,
            least=least,
        )
    )
