# SPDX-License-Identifier: Apache-2.0
"""Simulated faults: periods of each kind, drawn once from the rates, looked up by time."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.world.rates import MINUTE_MS, YEAR_MS, Rates, Trouble
from benchmarks.world.vantages import Person

HOUR_MS = 3_600_000
CONTROL = -1
"""The control's index among those whom a spell befalls."""


@dataclass(frozen=True)
class Spell:
    """One trouble from `start` to `end` (Unix ms), for some vantages."""

    kind: str
    start: int
    end: int
    trouble: Trouble
    whom: frozenset[int]
    typed: bool = False
    """All its failures carry one and the same signature."""


class Weather:
    """All spells between two times."""

    def __init__(self, spells: Iterable[Spell]) -> None:
        self._by_hour: dict[int, list[Spell]] = {}
        for spell in spells:
            for hour in range(spell.start // HOUR_MS, spell.end // HOUR_MS + 1):
                self._by_hour.setdefault(hour, []).append(spell)

    def between(self, start: int, end: int) -> list[Spell]:
        """The spells that touch a stretch of at most an hour."""
        near = self._by_hour.get(start // HOUR_MS, [])
        if (last := (end - 1) // HOUR_MS) != start // HOUR_MS:
            near = near + [s for s in self._by_hour.get(last, ()) if s not in near]
        return [spell for spell in near if spell.start < end and spell.end > start]


def draw(
    people: Sequence[Person], rates: Rates, start: int, end: int, rng: random.Random
) -> Weather:
    """Draw the weather of a world."""
    spells: list[Spell] = []

    def befall(kind: str, trouble: Trouble, whom: Iterable[int]) -> None:
        everybody = frozenset(whom)
        at = float(start)
        while trouble.yearly > 0:
            at += rng.expovariate(trouble.yearly / YEAR_MS)
            if at >= end:
                break
            lasts = rng.expovariate(1 / (trouble.minutes * MINUTE_MS))
            typed = kind == "local_filter" and rng.random() < rates.filter_typed
            spells.append(Spell(kind, int(at), int(at + lasts), trouble, everybody, typed))

    for person in people:
        for kind in ("path", "vantage_target", "local_filter", "portal", "proxy", "clock"):
            befall(kind, getattr(rates, kind), [person.index])
    for place in sorted({(p.country, p.asn) for p in people}):
        mine = [p.index for p in people if (p.country, p.asn) == place]
        befall("peering", rates.peering, mine)
        befall("network_outage", rates.network_outage, mine)
    befall("service_outage", rates.service_outage, [*(p.index for p in people), CONTROL])
    befall("control_outage", rates.control_outage, [CONTROL])
    return Weather(spells)
