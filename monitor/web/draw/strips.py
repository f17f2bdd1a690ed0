# SPDX-License-Identifier: Apache-2.0
"""Strips of time as SVG: what was seen in each slice, runs of the same merged into one shape.

State is told by colour and by form (solid, hatch, dots, dotted line), so that it survives
colour blindness and a black-and-white print. A round speaks until the next one is due: slices
between two rounds take the words of the earlier, a round that is missing leaves a gap.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

from monitor.detection.model import State
from monitor.detection.policy import Policy
from monitor.web.text import words

SLICES = 96
HOUR_MS = 3_600_000
SPANS = (1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, 24 * 3600, 48 * 3600)
"""Seconds that a strip may show, before division by the pace: as few as hold what there is."""
_KIND = {
    State.OK: "ok",
    State.BLOCKED: "blocked",
    State.THROTTLED: "impaired",
    State.IMPAIRED: "impaired",
    State.DOWN: "down",
    State.INCONCLUSIVE: "unclear",
    State.VANTAGE_OFFLINE: "none",
    State.INSUFFICIENT: "none",
}
_WORD = {
    "ok": "reachable",
    "blocked": "failing as blocked",
    "impaired": "partly failing",
    "down": "service down",
    "unclear": "cause unclear",
    "none": "no data",
    "mixed": "vantages disagree",
    "part": "failing in a network or a function",
}


class Window(msgspec.Struct, frozen=True):
    """A stretch of time (Unix ms) cut into equal slices."""

    since: int
    until: int
    slices: int = SLICES

    @property
    def width(self) -> int:
        """Milliseconds of one slice."""
        return max(1, (self.until - self.since) // self.slices)

    @property
    def length(self) -> str:
        """`30 min`, `48 h`."""
        return words.lasted(self.until - self.since)


class Sight(msgspec.Struct, frozen=True):
    """So many verdicts of one state. `series` says which network and target they are of: a
    block of one is never averaged away by the others."""

    at: int
    state: State
    n: int = 1
    series: tuple[int, str] = (0, "")


class Run(msgspec.Struct, frozen=True):
    """Slices in a row that look the same."""

    kind: str
    word: str
    x: int
    width: int
    begin: int
    end: int
    n: int


class Strip(msgspec.Struct, frozen=True):
    """A strip: its runs over `slices` units of width, and what they say in one sentence."""

    runs: tuple[Run, ...]
    slices: int
    since: int
    until: int
    summary: str
    failing: int
    total: int
    """Measurements that say anything, and those of them that failed as blocked."""


def longest(policy: Policy) -> int:
    """The longest stretch that a strip shows, in milliseconds."""
    return policy.ms(SPANS[-1])


def window(
    now: int, oldest: int | None, newest: int | None, policy: Policy, interval: int
) -> Window:
    """The stretch to show for what there is from `oldest` to `newest` (rounds, Unix ms).

    It ends with the newest round's interval (ms), or now when that is long past: then the gap
    is to be seen. From a day on a slice is an hour.
    """
    until = now
    if newest is not None:
        until = min(now, newest + interval)
        if now - until > 3 * interval + policy.ms(policy.round_close_seconds):
            until = now
    spans = [policy.ms(each) for each in SPANS]
    need = until - oldest if oldest is not None else 0
    span = next((each for each in spans if each >= need), spans[-1])
    slices = span // HOUR_MS if span >= 24 * HOUR_MS else SLICES
    if span >= 24 * HOUR_MS:
        until += -until % HOUR_MS
    return Window(until - span, until, slices)


def strip(sights: Iterable[Sight], window: Window, interval: int) -> Strip:
    """Return the strip of what was seen in a window; `interval` in ms."""
    counts: list[Counter[str]] = [Counter() for _ in range(window.slices)]
    series: list[dict[tuple[int, str], Counter[str]]] = [{} for _ in range(window.slices)]
    for seen in sights:
        if window.since <= seen.at < window.until:
            index = min(window.slices - 1, (seen.at - window.since) // window.width)
            counts[index][_KIND[seen.state]] += seen.n
            series[index].setdefault(seen.series, Counter())[_KIND[seen.state]] += seen.n
    kinds = _filled([_together(each.values()) for each in series], window, interval)
    runs: list[Run] = []
    for index, (kind, count) in enumerate(zip(kinds, counts, strict=True)):
        begin = window.since + index * window.width
        end = begin + window.width
        if runs and runs[-1].kind == kind:
            last = runs[-1]
            runs[-1] = Run(
                kind, last.word, last.x, last.width + 1, last.begin, end, last.n + count.total()
            )
        else:
            runs.append(Run(kind, _WORD[kind], index, 1, begin, end, count.total()))
    total = sum(n for count in counts for kind, n in count.items() if kind != "none")
    failing = sum(count["blocked"] + count["impaired"] for count in counts)
    said = f"{failing:,} of {words.plural(total, 'measurement')} failed as blocked"
    return Strip(
        runs=tuple(runs),
        slices=window.slices,
        since=window.since,
        until=window.until,
        summary=said.replace(",", "\u202f") if total else "nothing was measured",
        failing=failing,
        total=total,
    )


def _filled(kinds: Sequence[str | None], window: Window, interval: int) -> list[str]:
    """Empty slices take the kind before them for as long as a round speaks: the usual distance
    of rounds in this strip, at least one interval, plus a slice for their jitter."""
    seen = [index for index, kind in enumerate(kinds) if kind is not None]
    gaps = [b - a for a, b in pairwise(seen)]
    own = -(-interval // window.width)
    usual = int(statistics.median(gaps)) if gaps else 0
    # A strip with holes only has long gaps: they are not taken for the pace of its rounds.
    reach = max(own, min(usual, 12 * own)) + (1 if own > 1 or usual > 1 else 0)
    filled: list[str] = []
    last = -reach - 1
    for index, kind in enumerate(kinds):
        if kind is not None:
            last = index
            filled.append(kind)
        else:
            filled.append(str(kinds[last]) if last >= 0 and index - last < reach else "none")
    return filled


def _together(series: Iterable[Counter[str]]) -> str | None:
    """One word for a slice; None where nothing was measured at all."""
    kinds = {_kind(count) for count in series}
    if len(kinds) > 1:
        kinds.discard("none")
    if len(kinds) <= 1:
        return next(iter(kinds), None)
    return "part" if kinds & {"blocked", "impaired", "part"} else "mixed"


def _kind(count: Counter[str]) -> str:
    """One word for a series in a slice."""
    speaking = {kind: n for kind, n in count.items() if kind != "none"}
    if not speaking:
        return "none"
    total = sum(speaking.values())
    kind = min(speaking, key=lambda each: (-speaking[each], each))
    # A slice is only called by one word when three quarters of it agree.
    return kind if speaking[kind] * 4 >= total * 3 else "mixed"
