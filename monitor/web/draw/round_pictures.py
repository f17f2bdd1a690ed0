# SPDX-License-Identifier: Apache-2.0
"""How an event came about: evidence by round against the quorum, drawn as SVG with a table.

One picture for each series (network, target, layer): stacked bands, one for each vantage with a
vote; the line of the quorum; below it the gates that were shut. In large networks the vantages with
the most evidence have a band and a column each, and the others one together.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from monitor.detection.events.explain import SeriesRound, VantageEvidence
from monitor.detection.model import ClosedGate
from monitor.text.language import _

WIDTH, HEIGHT = 720, 160
MAX_CELLS = 1_000
"""Cells (a vantage in a round) of all pictures of a page: some 40 bytes each, compressed."""
MAX_VANTAGES, MIN_VANTAGES = 12, 3
"""Vantages with a band and a column in one picture: the fewer, the more rounds there are."""
TONES = 6
"""Number of shades that bands alternate between."""
OTHERS = ""
"""In place of the id of a vantage."""


class Band(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence of one vantage over time."""

    probe: str
    label: str
    tone: int
    points: str
    """A closed polygon, in the picture's own units."""


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """A time span in which failures did not count."""

    x: float
    width: float
    reason: str


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One round of the table."""

    round: int
    vantages: tuple[VantageEvidence | None, ...]
    others: int
    """How many vantages have no column, and what they hold (`others_hold`)."""
    others_hold: float
    holds: float
    needs: float
    gate: ClosedGate | None
    tier: str
    divided: bool
    x: float


class Picture(msgspec.Struct, frozen=True, kw_only=True):
    """One series."""

    asn: int
    target: str
    layer: str
    probes: tuple[str, ...]
    others: bool
    """Whether any vantages have no column."""
    bands: tuple[Band, ...]
    needed: str
    """Points of the quorum's line."""
    gates: tuple[Gate, ...]
    columns: tuple[Column, ...]
    reached: tuple[tuple[int, str], ...]
    """(round, tier) where a tier was reached."""
    marks: tuple[tuple[float, str], ...]
    """The same as (x, tier)."""
    top: float
    """Nats at the upper edge."""
    since: int
    until: int


def pictures(series_rounds: Sequence[SeriesRound], most: int = MAX_CELLS) -> list[Picture]:
    """Return pictures of series, those with the most evidence first, with `most` cells or with the
    first alone. `left_out` counts the others."""
    made: list[Picture] = []
    for each in _by_evidence(series_rounds):
        made.append(_picture(each))
        most -= len(made[-1].columns) * len(made[-1].probes)
        if most <= 0:
            break
    return made


def left_out(series_rounds: Sequence[SeriesRound], made: Sequence[Picture]) -> int:
    """How many series have no picture among those that were made."""
    return len(_by_evidence(series_rounds)) - len(made)


def _by_evidence(series_rounds: Sequence[SeriesRound]) -> list[list[SeriesRound]]:
    """The rounds of each series, those with the most evidence first."""
    ordered = sorted(series_rounds, key=lambda m: (m.asn, m.target, m.layer, m.round))
    grouped = [list(each) for _, each in groupby(ordered, lambda m: (m.asn, m.target, m.layer))]
    return sorted(grouped, key=lambda each: -max(one.holds for one in each))


def _probes(series_rounds: Sequence[SeriesRound]) -> tuple[str, ...]:
    """Those that get a band and a column: so many that the cells of a page are enough for two such
    pictures."""
    count = min(MAX_VANTAGES, max(MIN_VANTAGES, MAX_CELLS // (2 * len(series_rounds))))
    most: dict[str, int] = {}
    for one in series_rounds:
        for v in one.vantages:
            most[v.probe] = max(most.get(v.probe, 0), v.holds)
    first = sorted(most, key=lambda probe: (-most[probe], probe))[:count]
    return tuple(sorted(first))


def _picture(series_rounds: Sequence[SeriesRound]) -> Picture:
    probes = _probes(series_rounds)
    since, until = series_rounds[0].round, series_rounds[-1].round
    span = max(1, until - since)
    xs = [WIDTH * (one.round - since) / span for one in series_rounds]
    counted = [_counted(one, probes) for one in series_rounds]
    heights = [sum(each.values()) for each in counted] + [one.needs for one in series_rounds]
    top = max(1, *heights)

    def y(micro: float) -> float:
        return HEIGHT - HEIGHT * micro / top

    bands, floor = [], [0] * len(series_rounds)
    for number, probe in enumerate((*probes, OTHERS)):
        holds = [each.get(probe, 0) for each in counted]
        if any(holds):
            roof = [low + each for low, each in zip(floor, holds, strict=True)]
            there = [f"{x:.1f},{y(v):.1f}" for x, v in zip(xs, roof, strict=True)]
            back = [f"{x:.1f},{y(v):.1f}" for x, v in zip(xs, floor, strict=True)][::-1]
            bands.append(
                Band(
                    probe=probe,
                    label=_("others")
                    if probe == OTHERS
                    else _("vantage %(number)s", number=number + 1),
                    tone=number % TONES,
                    points=" ".join(there + back),
                )
            )
            floor = roof
    return Picture(
        asn=series_rounds[0].asn,
        target=series_rounds[0].target,
        layer=series_rounds[0].layer,
        probes=probes,
        others=any(_others(one, probes)[0] for one in series_rounds),
        bands=tuple(bands),
        needed=" ".join(
            f"{x:.1f},{y(m.needs):.1f}" for x, m in zip(xs, series_rounds, strict=True)
        ),
        gates=tuple(_gates(series_rounds, xs)),
        columns=tuple(_column(m, probes, x) for m, x in zip(series_rounds, xs, strict=True)),
        reached=tuple(_reached(series_rounds)),
        marks=tuple(
            (round((at - since) * WIDTH / span, 1), tier) for at, tier in _reached(series_rounds)
        ),
        top=top / 1e6,
        since=since,
        until=until,
    )


def _counted(one: SeriesRound, probes: Sequence[str]) -> dict[str, int]:
    """Evidence by vantage, of those with a vote; that of vantages without a band is of OTHERS."""
    mine = {v.probe: v.holds for v in one.vantages if not v.no_vote and v.probe in probes}
    return {**mine, OTHERS: _others(one, probes)[1]}


def _others(one: SeriesRound, probes: Sequence[str]) -> tuple[int, int]:
    """How many vantages have no column, and the evidence of those of them with a vote."""
    more = [v for v in one.vantages if v.probe not in probes]
    holds = sum(v.holds for v in more if not v.no_vote)
    return len(more) + one.others, holds + one.others_hold


def _column(one: SeriesRound, probes: Sequence[str], x: float) -> Column:
    by_probe = {vantage.probe: vantage for vantage in one.vantages}
    others, others_hold = _others(one, probes)
    return Column(
        round=one.round,
        vantages=tuple(by_probe.get(probe) for probe in probes),
        others=others,
        others_hold=others_hold / 1e6,
        holds=one.holds / 1e6,
        needs=one.needs / 1e6,
        gate=one.gate,
        tier=one.tier,
        divided=bool(one.divided),
        x=x,
    )


def _gates(series_rounds: Sequence[SeriesRound], xs: Sequence[float]) -> list[Gate]:
    found: list[Gate] = []
    ends = [*xs[1:], WIDTH]
    for one, x, end in zip(series_rounds, xs, ends, strict=True):
        if not one.gate:
            continue
        if found and found[-1].reason == one.gate and found[-1].x + found[-1].width >= x - 0.1:
            last = found.pop()
            found.append(Gate(x=last.x, width=end - last.x, reason=one.gate))
        else:
            found.append(Gate(x=x, width=end - x, reason=one.gate))
    return found


def _reached(series_rounds: Sequence[SeriesRound]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    before = ""
    for one in series_rounds:
        if one.tier and one.tier != before:
            found.append((one.round, one.tier))
        before = one.tier
    return found
