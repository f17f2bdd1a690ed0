# SPDX-License-Identifier: Apache-2.0
"""Simulated faults: periods of each kind, drawn once from the rates, looked up by time."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.world.rates import MINUTE_MS, YEAR_MS, Rates, Trouble
from benchmarks.world.vantages import Person
from benchmarks.world.verdicts import NO_SIGNS, Look, Signs

HOUR_MS = 3_600_000
HOSTS = 5
"""Liveness hosts of every vantage."""
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
    by_name: bool = False
    """All its failures carry one and the same signature, of the name."""
    cuts: bool = False
    """Its failures are resets, whatever the name."""
    fails: float = 0.0
    """Share of the measurements that fail."""
    hosts: frozenset[int] = frozenset()
    """Liveness hosts that it concerns."""
    hosts_fail: float = 0.0
    """Share of their measurements that fail."""
    looks: Look | None = None
    """What its failures look like; None: drawn as the signatures above say."""
    hours: tuple[int, int] | None = None
    """Local hours of the day between which it fails; None: at all hours."""
    answers: bool = True
    """Whether the addresses that fail answer a control elsewhere."""
    signs: Signs = NO_SIGNS
    release: str = ""
    """That of the probe with which it came; empty where it has nothing to do with it."""

    def strikes(self, person: Person, started: int) -> bool:
        """Whether a vantage measures in it at this time (Unix ms)."""
        if person.index not in self.whom or not self.start <= started < self.end:
            return False
        if self.hours is None:
            return True
        return self.hours[0] <= (started // HOUR_MS + person.zone) % 24 < self.hours[1]


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


def _spell(
    kind: str,
    trouble: Trouble,
    whom: frozenset[int],
    at: int,
    rates: Rates,
    rng: random.Random,
    of: frozenset[int] = frozenset(),
) -> Spell:
    """One trouble that begins at `at`; `of`: the liveness hosts that it concerns, else drawn."""
    lasts = rng.expovariate(1 / (trouble.minutes * MINUTE_MS))
    if trouble.between[1]:
        lasts = rng.uniform(*trouble.between) * MINUTE_MS
    signed = rng.random() < (rates.filter_signature if kind == "local_filter" else trouble.signed)
    by_name = signed and (kind == "local_filter" or rng.random() < trouble.by_name)
    fails = rng.uniform(trouble.fails, trouble.fails_most or trouble.fails)
    alone = trouble.signed_alone if signed else trouble.alone
    reach = 0.0 if rng.random() < alone else rng.uniform(*trouble.breadth)
    hosts = of or frozenset(host for host in range(HOSTS) if rng.random() < reach)
    hit = rates.national_hosts if kind == "national" else fails
    cuts = signed and not by_name
    return Spell(kind, at, int(at + lasts), trouble, whom, by_name, cuts, fails, hosts, hit)


def network_faults(people: Sequence[Person], rates: Rates) -> float:
    """How many faults of networks a country has a year."""
    networks = {person.asn for person in people if person.country == people[0].country}
    upstream = rates.upstream.yearly if len(networks) > 1 else 0.0
    return rates.peering.yearly * len(networks) + upstream + rates.national.yearly


def network_fault(people: Sequence[Person], rates: Rates, at: int, rng: random.Random) -> Spell:
    """One fault of a network or several in the first country, as often of each kind as it is."""
    mine = [person for person in people if person.country == people[0].country]
    asns = sorted({person.asn for person in mine})
    kinds = ["national", "upstream", "peering"]
    often = [rates.national.yearly, rates.upstream.yearly, rates.peering.yearly * len(asns)]
    if len(asns) == 1:
        often[1] = 0.0
    kind = rng.choices(kinds, often)[0]
    behind = asns
    if kind != "national":
        behind = rng.sample(asns, 1 if kind == "peering" else rng.randint(2, len(asns)))
    whom = frozenset(person.index for person in mine if person.asn in behind)
    return _spell(kind, getattr(rates, kind), whom, at, rates, rng)


def draw(
    people: Sequence[Person], rates: Rates, start: int, end: int, rng: random.Random
) -> Weather:
    """Draw the weather of a world."""
    spells: list[Spell] = []

    def befall(
        kind: str, trouble: Trouble, whom: Iterable[int], of: frozenset[int] = frozenset()
    ) -> None:
        everybody = frozenset(whom)
        at = float(start)
        while trouble.yearly > 0:
            at += rng.expovariate(trouble.yearly / YEAR_MS)
            if at >= end:
                break
            spells.append(_spell(kind, trouble, everybody, int(at), rates, rng, of))

    everyone = [person.index for person in people]
    lines: dict[tuple[int, str], list[int]] = {}
    for person in people:
        lines.setdefault((person.asn, person.owner), []).append(person.index)
    for line in lines.values():
        for kind in ("path", "vantage_target", "local_filter", "portal", "proxy", "clock"):
            befall(kind, getattr(rates, kind), line)
    for place in sorted({(p.country, p.asn) for p in people}):
        mine = [p.index for p in people if (p.country, p.asn) == place]
        befall("peering", rates.peering, mine)
        befall("network_outage", rates.network_outage, mine)
    for country in sorted({p.country for p in people}):
        asns = sorted({p.asn for p in people if p.country == country})
        befall("national", rates.national, [p.index for p in people if p.country == country])
        if len(asns) > 1:
            behind = rng.sample(asns, rng.randint(2, len(asns)))
            befall("upstream", rates.upstream, [p.index for p in people if p.asn in behind])
    for host in range(HOSTS):
        befall("host_outage", rates.host_outage, [*everyone, CONTROL], frozenset([host]))
    befall("service_outage", rates.service_outage, [*everyone, CONTROL])
    befall("control_outage", rates.control_outage, [CONTROL])
    return Weather(spells)
