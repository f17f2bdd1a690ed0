"""Strips of time as SVG: what was seen in each slice, runs of the same merged into one shape.

State is told by colour and by form (solid, hatch, dots, dotted line), so that it survives
colour blindness and a black-and-white print.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from monitor.detection.model import State
from monitor.web import words

SLICES = 96
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
}


class Run(msgspec.Struct, frozen=True):
    """Slices in a row that look the same."""

    kind: str
    word: str
    x: float
    width: float
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


def strip(
    sights: Sequence[tuple[int, State]], since: int, until: int, slices: int = SLICES
) -> Strip:
    """Return the strip of (round, state) pairs between two times (Unix ms)."""
    width = max(1, (until - since) // slices)
    counts: list[Counter[str]] = [Counter() for _ in range(slices)]
    for at, state in sights:
        if since <= at < until:
            counts[min(slices - 1, (at - since) // width)][_KIND[state]] += 1
    runs: list[Run] = []
    for index, count in enumerate(counts):
        kind = _kind(count)
        begin = since + index * width
        if runs and runs[-1].kind == kind:
            last = runs[-1]
            runs[-1] = Run(
                kind,
                last.word,
                last.x,
                last.width + 1,
                last.begin,
                begin + width,
                last.n + count.total(),
            )
        else:
            runs.append(Run(kind, _WORD[kind], index, 1, begin, begin + width, count.total()))
    total = sum(count.total() for count in counts)
    failing = sum(count["blocked"] + count["impaired"] for count in counts)
    return Strip(
        runs=tuple(runs),
        slices=slices,
        since=since,
        until=until,
        summary=f"{failing} of {words.plural(total, 'measurement')} failed as blocked",
    )


def _kind(count: Counter[str]) -> str:
    speaking = {kind: n for kind, n in count.items() if kind != "none"}
    if not speaking:
        return "none"
    total = sum(speaking.values())
    kind = min(speaking, key=lambda each: (-speaking[each], each))
    # A slice is only called by one word when three quarters of it agree.
    return kind if speaking[kind] * 4 >= total * 3 else "mixed"
