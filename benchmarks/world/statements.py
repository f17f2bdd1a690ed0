# SPDX-License-Identifier: Apache-2.0
"""Statements of the detector and the truth, in simulations with and without blocks.

A statement is an event with one set of terms. It is counted at each change, and for the rounds in
which it holds. Numbers are per year for one service and country: false ones from a simulation
without blocks, true ones from blocks at many moments, as many per year as the prior assumes.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.world.alarms import WARM_DAYS, behind
from benchmarks.world.blocks import HOUR_MS, Block
from benchmarks.world.rates import BLOCKING, MINUTE_MS, PEERING_HASTE, RATES, Blocking, Rates
from benchmarks.world.scene import Scene
from benchmarks.world.trials import days, moments
from benchmarks.world.vantages import settled
from monitor.detection.model import Event, Tier
from monitor.detection.policy import Policy
from monitor.detection.sequence import confidence
from monitor.detection.sequence.fold import initial, step
from monitor.detection.sequence.state import ServiceState

SIZES = (3, 3, 5)
INTERVAL = 300_000
AFTER_MS = 3 * HOUR_MS
"""How long is looked on after a block was lifted."""
Said = tuple[Tier, tuple[int, ...]]
"""Tier and values of the terms."""


@dataclass
class Counts:
    """How often a statement is said, and for how many rounds it stands, a year and country."""

    said: dict[tuple[Said, bool], float] = field(default_factory=dict)
    stands: dict[tuple[Said, bool], float] = field(default_factory=dict)

    def take(self, what: Said, true: bool, weight: float, anew: bool) -> None:
        """Count a statement of a round."""
        key = what, true
        self.stands[key] = self.stands.get(key, 0.0) + weight
        if anew:
            self.said[key] = self.said.get(key, 0.0) + weight

    def add(self, other: Counts, times: float = 1.0) -> None:
        """Take another world's counts as well."""
        for mine, theirs in ((self.said, other.said), (self.stands, other.stands)):
            for key, n in theirs.items():
                mine[key] = mine.get(key, 0.0) + n * times


def said(event: Event) -> Said:
    """What an event says."""
    return event.tier, confidence.values(event)


@dataclass
class _Ear:
    """Listens to events and counts what they say."""

    counts: Counts = field(default_factory=Counts)
    last: dict[str, Said] = field(default_factory=dict)

    def hear(self, events: Iterable[tuple[Event, bool, float]]) -> None:
        """Count what these open events say in this round: (event, whether true, weight)."""
        for event, true, weight in events:
            if confidence.probability(event) is None:
                continue
            now = said(event)
            self.counts.take(now, true, weight, self.last.get(event.id) != now)
            self.last[event.id] = now


def false_ones(
    seed: int,
    length: int,
    policy: Policy,
    rates: Rates = RATES,
    sizes: Sequence[int] = SIZES,
) -> Counts:
    """What is said in `length` days of a world without blocks, with more peering faults than
    there are."""
    hasty = replace(
        rates, peering=replace(rates.peering, yearly=rates.peering.yearly * PEERING_HASTE)
    )
    scene = Scene(
        settled(sizes), seed=seed, interval=INTERVAL, days=length + WARM_DAYS, rates=hasty
    )
    rng = random.Random(f"false {seed}")
    state, ear = initial("service"), _Ear()
    countries = {person.country for person in scene.people}
    weight = 365 / (length * len(countries))
    warm = scene.round(0) + WARM_DAYS * 86_400_000
    causes: dict[tuple[str, Tier], float] = {}
    for n in range(scene.rounds):
        round = scene.round(n)
        state, _ = step(state, round, scene.facts(n, rng), policy)
        if round < warm:
            continue
        now = []
        for case in state.cases.values():
            event = case.event
            if event.opened < warm:
                continue
            key = event.id, event.tier
            if key not in causes:
                faulty = any(behind(scene, asn, round) == "peering" for asn in event.asns)
                causes[key] = weight / PEERING_HASTE if faulty else weight
            now.append((event, False, causes[key]))
        ear.hear(now)
    return ear.counts


def plan(scene: Scene, onset: int, rng: random.Random, prior: Blocking) -> list[Block]:
    """Draw a block of the first country."""
    country = scene.people[0].country
    mine = sorted({person.asn for person in scene.people if person.country == country})
    share, typed = rng.choices([k[1:] for k in prior.kinds], [k[0] for k in prior.kinds])[0]
    lasts = (
        prior.shortest_minutes * (prior.longest_minutes / prior.shortest_minutes) ** rng.random()
    )
    until = onset + int(lasts * MINUTE_MS)
    whom = None
    if rng.random() < prior.patchy:
        whom = frozenset(p.index for p in scene.people if rng.random() < prior.behind)
    first, spread = rng.choice(mine), int(prior.spread_minutes * MINUTE_MS)
    networks = mine if rng.random() < prior.national else [first]
    return [
        Block(
            asn,
            onset if asn == first else onset + rng.randrange(spread),
            share,
            typed,
            until=until,
            whom=whom,
        )
        for asn in networks
    ]


def true_ones(
    seed: int,
    tries: int,
    policy: Policy,
    rates: Rates = RATES,
    prior: Blocking = BLOCKING,
    sizes: Sequence[int] = SIZES,
) -> Counts:
    """What is said of the country while and shortly after it blocks, tried at many moments."""
    length = days(tries, prior.longest_minutes / 60)
    scene = Scene(settled(sizes), seed=seed, interval=INTERVAL, days=length, rates=rates)
    rng, whole = random.Random(f"true {seed}"), Counts()
    for at, n, state in moments(scene, tries, rng, policy):
        blocks = plan(scene, at, rng, prior)
        whole.add(_played(scene, state, n, blocks, rng, policy), prior.yearly / tries)
    return whole


def _played(
    scene: Scene,
    state: ServiceState,
    n: int,
    blocks: Sequence[Block],
    rng: random.Random,
    policy: Policy,
) -> Counts:
    ear = _Ear()
    until = blocks[0].until
    assert until is not None
    place = f"{scene.people[0].country} probe"
    while scene.round(n) < until + AFTER_MS and n < scene.rounds:
        round = scene.round(n)
        state, _ = step(state, round, scene.facts(n, rng, blocks), policy)
        n += 1
        case = state.cases.get(place)
        if case is not None:
            ear.hear([(case.event, round < until, 1.0)])
        elif round >= until:
            break
    return ear.counts
