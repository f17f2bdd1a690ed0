# SPDX-License-Identifier: Apache-2.0
"""How an event came about: evidence by round against the quorum, drawn as SVG with a table.

One picture for each series (network, target, layer): stacked bands, one for each vantage with a
vote; the line of the quorum; below it the gates that were shut.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import msgspec

from monitor.detection.sequence.explain import Moment, Voice

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
    voices: tuple[Voice | None, ...]
    holds: float
    needs: float
    gate: str
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


def pictures(moments: Sequence[Moment]) -> list[Picture]:
    """Return a picture of each series, those with the most evidence first."""
    ordered = sorted(moments, key=lambda m: (m.asn, m.target, m.layer, m.round))
    grouped = groupby(ordered, lambda m: (m.asn, m.target, m.layer))
    made = [_picture(list(each)) for _, each in grouped]
    return sorted(made, key=lambda p: (-max(c.holds for c in p.columns), p.asn, p.target, p.layer))


def _picture(moments: Sequence[Moment]) -> Picture:
    probes = tuple(sorted({v.probe for moment in moments for v in moment.voices}))
    since, until = moments[0].round, moments[-1].round
    span = max(1, until - since)
    xs = [WIDTH * (moment.round - since) / span for moment in moments]
    counted = [_counted(moment) for moment in moments]
    heights = [sum(each.values()) for each in counted] + [moment.needs for moment in moments]
    top = max(1, *heights)

    def y(micro: float) -> float:
        return HEIGHT - HEIGHT * micro / top

    bands, floor = [], [0] * len(moments)
    for number, probe in enumerate(probes):
        holds = [each.get(probe, 0) for each in counted]
        if any(holds):
            roof = [low + each for low, each in zip(floor, holds, strict=True)]
            there = [f"{x:.1f},{y(v):.1f}" for x, v in zip(xs, roof, strict=True)]
            back = [f"{x:.1f},{y(v):.1f}" for x, v in zip(xs, floor, strict=True)][::-1]
            bands.append(
                Band(
                    probe=probe,
                    label=f"vantage {number + 1}",
                    tone=number % TONES,
                    points=" ".join(there + back),
                )
            )
            floor = roof
    return Picture(
        asn=moments[0].asn,
        target=moments[0].target,
        layer=moments[0].layer,
        probes=probes,
        bands=tuple(bands),
        needed=" ".join(f"{x:.1f},{y(m.needs):.1f}" for x, m in zip(xs, moments, strict=True)),
        gates=tuple(_gates(moments, xs)),
        columns=tuple(_column(m, probes, x) for m, x in zip(moments, xs, strict=True)),
        reached=tuple(_reached(moments)),
        marks=tuple(
            (round((at - since) * WIDTH / span, 1), tier) for at, tier in _reached(moments)
        ),
        top=top / 1e6,
        since=since,
        until=until,
    )


def _counted(moment: Moment) -> dict[str, int]:
    """Evidence by vantage, of those with a vote."""
    return {v.probe: v.holds for v in moment.voices if not v.no_vote}


def _column(moment: Moment, probes: Sequence[str], x: float) -> Column:
    by_probe = {voice.probe: voice for voice in moment.voices}
    return Column(
        round=moment.round,
        voices=tuple(by_probe.get(probe) for probe in probes),
        holds=moment.holds / 1e6,
        needs=moment.needs / 1e6,
        gate=moment.gate,
        tier=moment.tier,
        divided=bool(moment.divided),
        x=x,
    )


def _gates(moments: Sequence[Moment], xs: Sequence[float]) -> list[Gate]:
    found: list[Gate] = []
    ends = [*xs[1:], WIDTH]
    for moment, x, end in zip(moments, xs, ends, strict=True):
        if not moment.gate:
            continue
        if found and found[-1].reason == moment.gate and found[-1].x + found[-1].width >= x - 0.1:
            last = found.pop()
            found.append(Gate(x=last.x, width=end - last.x, reason=moment.gate))
        else:
            found.append(Gate(x=x, width=end - x, reason=moment.gate))
    return found


def _reached(moments: Sequence[Moment]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    before = ""
    for moment in moments:
        if moment.tier and moment.tier != before:
            found.append((moment.round, moment.tier))
        before = moment.tier
    return found
