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

import random
from dataclasses import replace

from benchmarks.world.hazard import CALM, DAY_MINUTES, Draw, Hazard, Reach, World, of
from benchmarks.world.kinds import BURSTS, LOOKALIKE, NATIONAL, OWNER, UPSTREAM, drawn
from benchmarks.world.rates import RATES
from benchmarks.world.unfitted import UNFITTED
from benchmarks.world.verdicts import Look


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
        by_service=True,
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


def _mixed(rng: random.Random) -> World:
    every = (
        *(_regional, _national, _signed, _peering, _evenings, _family, _rollout, _reputation),
        *(_old_denial, _denied_here, _validation, _refused_network),
    )
    hazards = tuple(hazard(rng) for hazard in every)
    return World(CALM, tuple(replace(h, yearly=h.yearly * rng.uniform(0.2, 0.7)) for h in hazards))


def _strangers(rng: random.Random) -> World:
    size = rng.choice((2, 3))
    return World(CALM, (_lies(rng),), (size, 5), strangers=2)


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
    "peering of the target alone": of(_peering),
    "regional outage of the service": of(lambda rng: _regional(rng, 2.0, 4.0)),
    "national outage of the service": of(_national),
    "signed faults of the target alone": of(_signed),
    "evening overload": of(_evenings),
    "one address family": of(_family),
    "certificates change by region": of(_rollout),
    "refusal by reputation": of(_reputation),
    "refusal of a network": of(_refused_network),
    "faults of resolvers": of(_old_denial, _denied_here, _validation),
    STRANGERS: _strangers,
    "mixture": _mixed,
}
"""Those that the weights are fitted to."""
MIXTURE, NOMINAL = "mixture", "nominal"
_BACKGROUNDS = ("owners of several vantages", "15 % of failures look signed", STRANGERS)
"""Worlds that differ from the nominal one in more than what befalls whole networks."""


def quiet_as(name: str) -> str:
    """The world whose days without faults of networks are those of this one."""
    return name if name in _BACKGROUNDS else NOMINAL


def world(name: str, seed: int) -> World:
    """Draw a world. Blocks are drawn as well: half to twice one a year, and what they look like.
    In half of the worlds nobody runs a host of our own; in the others a third to nine tenths of
    those by name read it on the way to that host as well. A fault that is no block never does: what
    cuts one name to whatever host interferes with that name."""
    rng = random.Random(f"world {name} {seed}")
    drawn_world = (WORLDS | UNFITTED)[name](rng)
    return replace(
        drawn_world,
        blocks_yearly=0.5 * 4 ** rng.random(),
        blocks=replace(
            drawn_world.blocks,
            named=rng.choice((0.0, rng.uniform(0.3, 0.9))),
            denied=rng.uniform(0.1, 0.5),
            forged=rng.uniform(0.05, 0.3),
            reset=rng.uniform(0.1, 0.5),
            sooner=rng.uniform(0.2, 0.8),
            before=rng.uniform(0.3, 0.8),
            zoneless=rng.uniform(0.4, 0.9),
            on_path=rng.uniform(0.1, 0.5),
            shown=rng.uniform(0.7, 1.0),
            two_ports=rng.uniform(0.3, 0.95),
            by_port=rng.uniform(0.0, 0.2),
            compared=rng.uniform(0.5, 0.98),
            spared=rng.uniform(0.0, 0.1),
            nobodys=rng.uniform(0.3, 0.9),
        ),
    )
