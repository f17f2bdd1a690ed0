# SPDX-License-Identifier: Apache-2.0
"""Worlds whose faults the detector was not made for, each kind of fault as often and as long as
wide ranges allow. The rates of a world are drawn anew from its seed.

Sources of the ranges: headline outages of 32 services in 2009 to 2015 were 597, some 2.7 a year and
service (Gunawi et al., SoCC 2016); outages of cloud services last 8 to 10 hours on average with a
generalised Pareto tail (Naldi, DRCN 2013), and those that a service calls regional 20 minutes to
some hours; Meta's of 2021-10-04 lasted six. So medians of 20 to 120 minutes with a log-normal tail
up to a day stand for outages. Refusals by reputation last days; no source counts how often they
occur, nor how often certificates change region by region: those bounds are assumptions.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from benchmarks.world.faults import Spell
from benchmarks.world.kinds import BURSTS, LOOKALIKE, NATIONAL, OWNER, UPSTREAM, drawn
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
from benchmarks.world.verdicts import Look, Signs

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

    def spell(self, people: Sequence[Person], at: int, rng: random.Random) -> Spell:
        """Draw one of them that begins at `at` (Unix ms)."""
        median, sigma = self.minutes
        lasts = min(self.longest, max(5.0, median * math.exp(rng.gauss(0, sigma))))
        asn = rng.choice(sorted({person.asn for person in people}))
        mine = [p for p in people if self.reach is Reach.COUNTRY or p.asn == asn]
        if self.reach is Reach.SOME:
            mine = rng.sample(mine, max(2, len(mine) // 2))
        return Spell(
            self.name,
            at,
            int(at + lasts * MINUTE_MS),
            _SPELL,
            frozenset(person.index for person in mine),
            fails=rng.uniform(*self.fails),
            looks=self.looks,
            hours=self.hours,
            answers=rng.random() < self.answers,
            signs=Signs(**{sign: rng.random() < chance for sign, chance in self.shows}),
        )

    def often(self, people: Sequence[Person]) -> float:
        """How often it occurs in a country of these people, a year."""
        networks = len({person.asn for person in people})
        return self.yearly * (1 if self.reach is Reach.COUNTRY else networks)


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
    strangers: int = 0
    """Of the first network's vantages, so many are of unknown owners who lie together at times."""


Draw = Callable[[random.Random], World]
_CALM = replace(RATES, **dict.fromkeys(NETWORK_FAULTS, _SPELL))


def _regional(rng: random.Random, low: float = 1.0, high: float = 4.0) -> Hazard:
    return Hazard(
        "regional outage of the service",
        rng.uniform(low, high),
        Look.SILENT,
        (rng.uniform(20, 120), rng.uniform(0.8, 1.6)),
        answers=rng.uniform(0.0, 0.2),
    )


def _national(rng: random.Random, low: float = 0.5, high: float = 3.0) -> Hazard:
    outage = _regional(rng, low, high)
    return replace(outage, name="national outage of the service", reach=Reach.COUNTRY)


def _signed(rng: random.Random, low: float = 0.5, high: float = 2.5) -> Hazard:
    return Hazard(
        "signed fault of the target alone",
        rng.uniform(low, high),
        Look.NAMED,
        (rng.uniform(20, 90), rng.uniform(0.5, 1.2)),
        # A firewall before the service's own edge. Several routers between the two are rare, and so
        # is a remote one that scrubs traffic, nearer than the server by more than half of the way.
        answers=rng.uniform(0.2, 0.8),
        shows=(("sooner", rng.uniform(0.0, 0.02)), ("before", rng.uniform(0.0, 0.03))),
    )


def _peering(rng: random.Random) -> Hazard:
    return Hazard(
        "peering fault of the target alone",
        rng.uniform(0.5, 3.0),
        Look.SILENT,
        (rng.uniform(20, 60), rng.uniform(0.5, 1.2)),
        answers=0.95,
    )


def _evenings(rng: random.Random) -> Hazard:
    return Hazard(
        "evening overload",
        rng.uniform(0.5, 3.0),
        Look.SILENT,
        (5 * DAY_MINUTES, 0.5),
        longest=14 * DAY_MINUTES,
        fails=(0.3, 0.7),
        hours=(19, 23),
        answers=0.95,
    )


def _family(rng: random.Random) -> Hazard:
    return Hazard(
        "one address family to the service",
        rng.uniform(0.5, 3.0),
        Look.IPV6,
        (rng.uniform(120, 600), 1.5),
        longest=14 * DAY_MINUTES,
        fails=(0.9, 1.0),
        answers=0.95,
    )


def _rollout(rng: random.Random) -> Hazard:
    return Hazard(
        "the service changes its certificate",
        rng.uniform(0.5, 2.0),
        Look.CERTIFICATE,
        (rng.uniform(60, 600), 1.0),
        longest=7 * DAY_MINUTES,
        fails=(0.9, 1.0),
        answers=0.3,
    )


def _reputation(rng: random.Random) -> Hazard:
    return Hazard(
        "the service refuses by reputation",
        rng.uniform(0.3, 2.0),
        Look.REFUSED,
        (rng.uniform(600, 4000), 1.0),
        longest=14 * DAY_MINUTES,
        fails=(0.5, 1.0),
        reach=Reach.SOME,
        answers=0.95,
    )


def _old_denial(rng: random.Random) -> Hazard:
    return Hazard(
        "a resolver keeps an old denial",
        rng.uniform(0.05, 0.5),
        Look.DENIED,
        (rng.uniform(10, 60), rng.uniform(0.5, 1.0)),
        longest=180.0,
        fails=(0.5, 1.0),
        # Whatever forwards to it may drop the zone, as most devices at home do.
        shows=(("zoneless", rng.uniform(0.0, 0.02)), ("others", 0.95)),
    )


def _denied_here(rng: random.Random) -> Hazard:
    return Hazard(
        "the service's own servers deny it to one network",
        rng.uniform(0.05, 0.3),
        Look.DENIED,
        (rng.uniform(60, 300), 1.2),
        longest=14 * DAY_MINUTES,
        fails=(0.9, 1.0),
        # A public resolver passes a part of the client's address on, or asks from the same region.
        shows=(("zoneless", rng.uniform(0.0, 0.02)), ("others", rng.uniform(0.2, 0.8))),
    )


def _validation(rng: random.Random) -> Hazard:
    return Hazard(
        "a resolver does not accept the service's keys",
        rng.uniform(0.05, 0.3),
        Look.SERVFAIL,
        (rng.uniform(60, 600), 1.0),
        fails=(0.9, 1.0),
        reach=rng.choice((Reach.NETWORK, Reach.COUNTRY)),
        shows=(("others", 0.95),),
    )


def _refused_network(rng: random.Random) -> Hazard:
    return Hazard(
        "the service refuses a network",
        rng.uniform(0.05, 0.5),
        Look.RESET,
        (rng.uniform(120, 2000), 1.2),
        longest=14 * DAY_MINUTES,
        fails=(0.9, 1.0),
        answers=0.95,
    )


def _lies(rng: random.Random) -> Hazard:
    return Hazard(
        "two strangers lie",
        rng.uniform(0.5, 4.0),
        Look.LIE,
        (180, 1.0),
        fails=(1.0, 1.0),
        answers=1.0,
    )


def _of(*draws: Callable[[random.Random], Hazard]) -> Draw:
    def draw(rng: random.Random) -> World:
        return World(_CALM, tuple(hazard(rng) for hazard in draws))

    return draw


def _mixed(rng: random.Random) -> World:
    every = (
        *(_regional, _national, _signed, _peering, _evenings, _family, _rollout, _reputation),
        *(_old_denial, _denied_here, _validation, _refused_network),
    )
    hazards = tuple(hazard(rng) for hazard in every)
    return World(_CALM, tuple(replace(h, yearly=h.yearly * rng.uniform(0.2, 0.7)) for h in hazards))


def _strangers(rng: random.Random) -> World:
    size = rng.choice((2, 3))
    return World(_CALM, (_lies(rng),), (size, 5), strangers=2)


def _older(kind: str) -> Draw:
    def draw(rng: random.Random) -> World:
        return World(drawn(kind, rng.randrange(10**6)))

    return draw


STRANGERS = "two strangers of two or three"
WORLDS: dict[str, Draw] = {
    "nominal": lambda rng: World(RATES),
    "bursts of peering faults": _older(BURSTS),
    "an upstream of several networks": _older(UPSTREAM),
    "national outage of everything": _older(NATIONAL),
    "owners of several vantages": _older(OWNER),
    "15 % of failures look signed": _older(LOOKALIKE),
    "peering of the target alone": _of(_peering),
    "regional outage of the service": _of(lambda rng: _regional(rng, 2.0, 4.0)),
    "national outage of the service": _of(_national),
    "signed faults of the target alone": _of(_signed),
    "evening overload": _of(_evenings),
    "one address family": _of(_family),
    "certificates change by region": _of(_rollout),
    "refusal by reputation": _of(_reputation),
    "refusal of a network": _of(_refused_network),
    "faults of resolvers": _of(_old_denial, _denied_here, _validation),
    STRANGERS: _strangers,
    "mixture": _mixed,
}
MIXTURE = "mixture"
_BACKGROUNDS = ("owners of several vantages", "15 % of failures look signed", STRANGERS)
"""Worlds that differ from the nominal one in more than what befalls whole networks."""


def quiet_as(name: str) -> str:
    """The world whose days without faults of networks are those of this one."""
    return name if name in _BACKGROUNDS else "nominal"


def world(name: str, seed: int) -> World:
    """Draw a world. Blocks are drawn as well: half to twice one a year, and what they look like.
    In half of the worlds nobody runs a host of our own; in the others a third to nine tenths of
    those by name read it on the way to that host as well. A fault that is no block never does: what
    cuts one name to whatever host interferes with that name."""
    rng = random.Random(f"world {name} {seed}")
    return replace(
        WORLDS[name](rng),
        blocks_yearly=0.5 * 4 ** rng.random(),
        blocks=replace(
            BLOCKING,
            named=rng.choice((0.0, rng.uniform(0.3, 0.9))),
            denied=rng.uniform(0.1, 0.5),
            forged=rng.uniform(0.05, 0.3),
            reset=rng.uniform(0.1, 0.5),
            sooner=rng.uniform(0.2, 0.8),
            before=rng.uniform(0.3, 0.8),
            zoneless=rng.uniform(0.4, 0.9),
            on_path=rng.uniform(0.1, 0.5),
            shown=rng.uniform(0.7, 1.0),
        ),
    )


def hazard(world: World, people: Sequence[Person], rng: random.Random) -> Hazard:
    """Draw which hazard comes next, as often as each occurs."""
    return rng.choices(world.hazards, [each.often(people) for each in world.hazards])[0]
