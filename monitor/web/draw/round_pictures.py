# SPDX-License-Identifier: Apache-2.0
"""How an event came about: evidence by round against the quorum, drawn as SVG with a table.

One picture for each series (network, target, layer): stacked bands, one for each vantage with a
vote; the line of the quorum; below it the gates that were shut.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from monitor.detection.model import ClosedGate
from monitor.detection.sequence.explain import SeriesRound, VantageEvidence
from monitor.web.text.language import _

WIDTH, HEIGHT = 720, 160
TONES = 6
"""Number of shades that bands alternate between."""


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


def pictures(series_rounds: Sequence[SeriesRound]) -> list[Picture]:
    """Return a picture of each series, those with the most evidence first."""
    ordered = sorted(series_rounds, key=lambda m: (m.asn, m.target, m.layer, m.round))
    grouped = groupby(ordered, lambda m: (m.asn, m.target, m.layer))
    made = [_picture(list(each)) for _key, each in grouped]
    return sorted(made, key=lambda p: (-max(c.holds for c in p.columns), p.asn, p.target, p.layer))


def _picture(series_rounds: Sequence[SeriesRound]) -> Picture:
    probes = tuple(sorted({v.probe for one in series_rounds for v in one.vantages}))
    since, until = series_rounds[0].round, series_rounds[-1].round
    span = max(1, until - since)
    xs = [WIDTH * (one.round - since) / span for one in series_rounds]
    counted = [_counted(one) for one in series_rounds]
    heights = [sum(each.values()) for each in counted] + [one.needs for one in series_rounds]
    top = max(1, *heights)

    def y(micro: float) -> float:
        return HEIGHT - HEIGHT * micro / top

    bands, floor = [], [0] * len(series_rounds)
    for number, probe in enumerate(probes):
        holds = [each.get(probe, 0) for each in counted]
        if any(holds):
            roof = [low + each for low, each in zip(floor, holds, strict=True)]
            there = [f"{x:.1f},{y(v):.1f}" for x, v in zip(xs, roof, strict=True)]
            back = [f"{x:.1f},{y(v):.1f}" for x, v in zip(xs, floor, strict=True)][::-1]
            bands.append(
                Band(
                    probe=probe,
                    label=_("vantage %(number)s", number=number + 1),
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


def _counted(one: SeriesRound) -> dict[str, int]:
    """Evidence by vantage, of those with a vote."""
    return {v.probe: v.holds for v in one.vantages if not v.no_vote}


def _column(one: SeriesRound, probes: Sequence[str], x: float) -> Column:
    by_probe = {vantage.probe: vantage for vantage in one.vantages}
    return Column(
        round=one.round,
        vantages=tuple(by_probe.get(probe) for probe in probes),
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
