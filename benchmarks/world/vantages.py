# SPDX-License-Identifier: Apache-2.0
"""Simulated vantages in networks of several countries, each with its own failure rate."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from benchmarks.world.rates import Rates


class Nature(StrEnum):
    """How a vantage behaves."""

    HONEST = "honest"
    ALWAYS_FAIL = "always-fail"
    """Reports a block with a signature whatever it sees, from its enrolment on."""
    ALWAYS_OK = "always-ok"


AT_HOME = 0.6
"""Share of the vantages behind a resolver of their own."""

OLD = 0.3
"""Share of the vantages that run the release before the newest."""


@dataclass(frozen=True)
class Person:
    """One vantage."""

    index: int
    probe: str
    owner: str
    country: str
    asn: int
    phase: float
    """Where in a round it measures, 0 to 1."""
    zone: int
    """Hours that its clock is ahead."""
    p0: float
    nature: Nature = Nature.HONEST
    known_days: float = 0.0
    """For how long before the world began it was enrolled."""
    at_home: bool = False
    """Its resolver is a device at home, which asks that of the network."""
    release: str = "2"
    """Of the probe that it runs."""


@dataclass(frozen=True)
class Settlement:
    """One network: country, number and how many of its vantages are liars."""

    country: str
    asn: int
    size: int
    liars: int = 0
    lie: Nature = Nature.ALWAYS_FAIL
    strangers: int = 0
    """How many of them, the first ones, were enrolled when the world began."""


KNOWN_DAYS = 180.0
"""For how long the other vantages have been enrolled."""


COUNTRIES = ("AA", "BB", "CC")


def settled(
    sizes: Sequence[int], countries: Sequence[str] = COUNTRIES, share_lying: float = 0.0
) -> list[Settlement]:
    """In every country one network of each size; `share_lying` of each (rounded) lies."""
    return [
        Settlement(country, 64501 + 100 * place + number, size, round(size * share_lying))
        for place, country in enumerate(countries)
        for number, size in enumerate(sizes)
    ]


def populate(networks: Sequence[Settlement], rates: Rates, rng: random.Random) -> list[Person]:
    """Draw the vantages. Each has an owner of its own, which is the easiest case for false alarms,
    but for those that `one_owner` gives to one."""
    people: list[Person] = []
    zones = {country: 4 * n for n, country in enumerate(sorted({n.country for n in networks}))}
    beta = rates.p0_shape * (1 - rates.p0_mean) / rates.p0_mean
    for network in networks:
        shared = round(rates.one_owner * network.size)
        for number in range(network.size):
            index, phase = len(people), rng.random()
            people.append(
                Person(
                    index=index,
                    probe=f"p-{network.asn}-{number:02}",
                    owner=f"o-{network.asn}-{0 if number < shared else number:02}",
                    country=network.country,
                    asn=network.asn,
                    phase=phase,
                    zone=zones[network.country],
                    p0=min(rates.p0_most, rng.betavariate(rates.p0_shape, beta)),
                    nature=network.lie if number < network.liars else Nature.HONEST,
                    known_days=0.0 if number < network.strangers else KNOWN_DAYS,
                    # Of its own chance, so that the rest of a world stays as it is.
                    at_home=random.Random(f"home {phase}").random() < AT_HOME,
                    release="1" if random.Random(f"old {phase}").random() < OLD else "2",
                )
            )
    return people
