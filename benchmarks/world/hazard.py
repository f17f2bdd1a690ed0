# SPDX-License-Identifier: Apache-2.0
"""One kind of fault that is no block: how often it occurs, whom it befalls, what it looks like."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from benchmarks.world.faults import HOSTS, Spell
from benchmarks.world.rates import (
    BLOCKING,
    MINUTE_MS,
    NETWORK_FAULTS,
    RATES,
    Blocking,
    Rates,
    Trouble,
)
from benchmarks.world.vantages import Person
from benchmarks.world.verdicts import Look, OtherAnswers, OtherPort, Signs

DAY_MINUTES = 1440.0
_SPELL = Trouble(0, 1, 0)
"""A hazard's failures are drawn here, so nothing of this is read."""


class Reach(StrEnum):
    """Whom a hazard befalls."""

    NETWORK = "network"
    """One network."""
    COUNTRY = "country"
    """All networks of the country."""
    SOME = "some"
    """A half of one network's vantages, at least two."""
    SCATTERED = "scattered"
    """A third of the country's vantages, in whichever networks, at least two."""


_WIDE = (Reach.COUNTRY, Reach.SCATTERED)
_PARTS = {Reach.SOME: 2, Reach.SCATTERED: 3}
"""One vantage of so many."""


@dataclass(frozen=True)
class Hazard:
    """One kind of fault that is no block."""

    name: str
    yearly: float
    """A year, for each network (or for the country)."""
    looks: Look
    minutes: tuple[float, float] = (60.0, 1.0)
    """Median and sigma of the log-normal law of how long it lasts, at least 5 minutes and at most
    `longest`."""
    longest: float = DAY_MINUTES
    fails: tuple[float, float] = (0.7, 1.0)
    """Share of measurements that fail, uniform."""
    reach: Reach = Reach.NETWORK
    hours: tuple[int, int] | None = None
    """Local hours of the day between which it fails; None: at all hours."""
    answers: float = 0.0
    """How likely the very addresses that fail answer a control elsewhere: an anycast address does
    so from another edge, and so does one behind a faulty path."""
    shows: tuple[tuple[str, float], ...] = ()
    """How likely its failures show each of these signs (`verdicts.Signs`)."""
    port_alone: float | None = None
    """Where only one port of the hosts fails: how likely they answer at another one."""
    moves: tuple[float, float] | None = None
    """Where the name leads to other addresses by now: how likely other resolvers give these, and
    how likely they give the old ones where they do not; else nothing is known of it."""
    spread_minutes: float = 0.0
    """Within which it reaches the networks one after the other, uniform; 0: all at once."""
    spread_days: float = 0.0
    """Within which it reaches one country after the other, uniform."""
    release: str = ""
    """Of the probe with which it comes, for whom it befalls; empty where it does not."""
    by_service: bool = False
    """Whether what interferes is the service's own: where somebody runs a host of our own, the name
    passes there."""
    hosts: float = 0.0
    """How likely it concerns each liveness host as well, with the same share of failures."""

    def spells(self, people: Sequence[Person], at: int, rng: random.Random) -> list[Spell]:
        """Draw one of them that begins at `at` (Unix ms): a spell of all whom it befalls, or one of
        each network that it reaches in its turn."""
        whole = self.spell(people, at, rng)
        if not self.spread_minutes and not self.spread_days:
            return [whole]
        networks: dict[int, set[int]] = {}
        for person in people:
            if person.index in whole.whom:
                networks.setdefault(person.asn, set()).add(person.index)
        first, *others = rng.sample(sorted(networks), len(networks))
        later = {asn: rng.uniform(0, self.spread_minutes) * MINUTE_MS for asn in others}
        if self.spread_days:
            country_of = {person.asn: person.country for person in people}
            days = {
                country: rng.uniform(0, self.spread_days) if country != country_of[first] else 0.0
                for country in sorted(set(country_of.values()))
            }
            for asn in others:
                later[asn] += days[country_of[asn]] * DAY_MINUTES * MINUTE_MS
        return [
            replace(
                whole,
                start=int(whole.start + later.get(asn, 0.0)),
                end=int(whole.end + later.get(asn, 0.0)),
                whom=frozenset(networks[asn]),
            )
            for asn in (first, *others)
        ]

    def spell(self, people: Sequence[Person], at: int, rng: random.Random) -> Spell:
        """Draw one of them that begins at `at` (Unix ms)."""
        median, sigma = self.minutes
        lasts = min(self.longest, max(5.0, median * math.exp(rng.gauss(0, sigma))))
        asn = rng.choice(sorted({person.asn for person in people}))
        mine = [p for p in people if self.reach in _WIDE or p.asn == asn]
        if (part := _PARTS.get(self.reach)) is not None:
            mine = rng.sample(mine, max(2, len(mine) // part))
        return Spell(
            self.name,
            at,
            int(at + lasts * MINUTE_MS),
            _SPELL,
            frozenset(person.index for person in mine),
            fails=(fails := rng.uniform(*self.fails)),
            hosts=frozenset(
                host for host in range(HOSTS) if self.hosts and rng.random() < self.hosts
            ),
            hosts_fail=fails,
            looks=self.looks,
            hours=self.hours,
            answers=rng.random() < self.answers,
            release=self.release,
            signs=Signs(
                **{sign: rng.random() < chance for sign, chance in self.shows},
                other_port=self._other_port(rng),
                other_answers=self._other_answers(rng),
            ),
        )

    def _other_port(self, rng: random.Random) -> OtherPort:
        if self.port_alone is None:
            return OtherPort.FAILS
        return OtherPort.ANSWERS if rng.random() < self.port_alone else OtherPort.UNKNOWN

    def _other_answers(self, rng: random.Random) -> OtherAnswers:
        if self.moves is None:
            return OtherAnswers.FAIL
        new, old = self.moves
        if rng.random() < new:
            return OtherAnswers.WORK
        return OtherAnswers.FAIL if rng.random() < old else OtherAnswers.UNKNOWN

    def often(self, people: Sequence[Person]) -> float:
        """How often it occurs in a country of these people, a year."""
        networks = len({person.asn for person in people})
        return self.yearly * (1 if self.reach in _WIDE else networks)


@dataclass(frozen=True)
class World:
    """One world: the background of each vantage, and what befalls networks."""

    rates: Rates
    """Without faults of networks where `hazards` has them."""
    hazards: tuple[Hazard, ...] = ()
    sizes: tuple[int, ...] = (3, 3, 5)
    """Vantages of each network."""
    blocks_yearly: float = 1.0
    """Blocks of the service, a year and country."""
    blocks: Blocking = BLOCKING
    """What they look like."""
    countries: int = 1
    """More than one where a fault moves between them; every one has networks of these sizes."""
    strangers: int = 0
    """Of the first network's vantages, so many are of unknown owners who lie together at times."""


Draw = Callable[[random.Random], World]
CALM = replace(RATES, **dict.fromkeys(NETWORK_FAULTS, _SPELL))
"""Without faults of networks."""


def of(*draws: Callable[[random.Random], Hazard]) -> Draw:
    """A world of these faults alone, each drawn anew for every seed."""

    def draw(rng: random.Random) -> World:
        return World(CALM, tuple(hazard(rng) for hazard in draws))

    return draw


def hazard(world: World, people: Sequence[Person], rng: random.Random) -> Hazard:
    """Draw which hazard comes next, as often as each occurs."""
    return rng.choices(world.hazards, [each.often(people) for each in world.hazards])[0]
