# SPDX-License-Identifier: Apache-2.0
"""The delay from the beginning of a block to each tier, and to simple rules.

The fold is pure, so one simulation is run to many moments, and from each of them a block is tried
and discarded. Onsets are uniform in time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.world.alarms import CONFIRMED, LIKELY, PAGE, WARM_DAYS, pages
from benchmarks.world.blocks import HOUR_MS, Scenario
from benchmarks.world.naive import RULES, Naive
from benchmarks.world.rates import RATES, Rates
from benchmarks.world.scene import START, Scene, decided
from benchmarks.world.vantages import Nature, Settlement
from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import ServiceState
from monitor.detection.model import Event, Tier
from monitor.detection.policy import Policy

COLUMNS = (LIKELY, CONFIRMED, PAGE, *RULES)
PATIENCE = 300
"""Minutes after its confirmation for which an event is followed until it pages."""
BETWEEN_MS = 95 * 60_000
"""Mean time between two tries in one world."""


@dataclass
class Delays:
    """Minutes from onset to each column, one of each per try; inf for never; none where a naive
    rule was ringing already."""

    minutes: dict[str, list[float]] = field(default_factory=lambda: {c: [] for c in COLUMNS})
    onsets: list[float] = field(default_factory=list)
    """Error of the event's onset, minutes."""

    def add(self, other: Delays) -> None:
        """Take another world's tries as well."""
        for column, values in other.minutes.items():
            self.minutes[column] += values
        self.onsets += other.onsets


@dataclass(frozen=True)
class Moment:
    """A world just before a round."""

    n: int
    state: ServiceState
    naive: Naive
    active: int
    """Vantages that delivered the round before."""


def town(size: int, liars: int = 0, lie: Nature = Nature.ALWAYS_FAIL) -> list[Settlement]:
    """The network in question, and one of three vantages in each of two other countries."""
    return [
        Settlement("AA", 64501, size, liars, lie),
        Settlement("BB", 64601, 3),
        Settlement("CC", 64701, 3),
    ]


def tried(
    networks: Sequence[Settlement],
    scenarios: Sequence[Scenario],
    *,
    seed: int,
    interval: int,
    tries: int,
    policy: Policy,
    rates: Rates = RATES,
) -> dict[str, Delays]:
    """Try every scenario at `tries` moments of one world, always in its first network."""
    horizon = max(scenario.horizon_hours for scenario in scenarios)
    days = WARM_DAYS + tries * BETWEEN_MS * 2 / 86_400_000 + horizon / 24 + 1
    scene = Scene(networks, seed=seed, interval=interval, days=days, rates=rates)
    rng = random.Random(f"delays {seed}")
    asn = networks[0].asn
    moments: list[int] = []
    at = float(START + WARM_DAYS * 86_400_000)
    while len(moments) < tries:
        at += rng.uniform(0.5, 1.5) * BETWEEN_MS
        moments.append(int(at))
    found = {scenario.name: Delays() for scenario in scenarios}
    state, naive, active, n = initial("service"), Naive(), 0, 0
    for onset in moments:
        while scene.round(n + 1) <= onset:
            facts = scene.facts(n, rng)
            state, _ = step(state, scene.round(n), facts, policy)
            mine = [fact for fact in facts if fact.asn == asn]
            naive.feed(scene.round(n), mine)
            active, n = len(facts), n + 1
        if any(one.event.tier is not Tier.UNCONFIRMED for one in state.open_events.values()):
            continue
        moment = Moment(n, state, naive, active)
        for scenario in scenarios:
            # From the same chance, whatever the policy.
            chance = random.Random(f"try {seed} {onset} {scenario.name}")
            _try(scene, scenario, moment, asn, onset, chance, policy, found[scenario.name])
    return found


def _try(
    scene: Scene,
    scenario: Scenario,
    moment: Moment,
    asn: int,
    onset: int,
    rng: random.Random,
    policy: Policy,
    into: Delays,
) -> None:
    block = scenario.block(asn, onset)
    state, naive, active = moment.state, moment.naive.copy(), moment.active
    before = naive.feed(scene.round(moment.n) - 1, ())
    found: dict[str, float] = {}
    n = moment.n
    last = min(scene.rounds, n + int(scenario.horizon_hours * HOUR_MS / scene.interval))
    while n < last and len(found) < len(COLUMNS):
        late = (scene.round(n) - onset) / 60_000 - found.get(CONFIRMED, math.inf)
        ours = PAGE not in found and late < PATIENCE
        facts = scene.facts(n, rng, (block,), None if ours else asn)
        round = scene.round(n)
        if not facts:
            n += 1
            continue
        minutes = (decided(facts, active if ours else 0) - onset) / 60_000
        if ours:
            state, changed = step(state, round, facts, policy)
            for event in changed:
                _reached(event, asn, onset, minutes, found, into)
                if asn in event.asns and pages(event, policy):
                    found.setdefault(PAGE, minutes)
            active = len(facts)
        for rule in naive.feed(round, [f for f in facts if f.asn == asn]):
            found.setdefault(rule, minutes)
        n += 1
    for column in COLUMNS:
        # A rule that rang already before the block says nothing of how quick it is.
        if column not in before:
            into.minutes[column].append(found.get(column, math.inf))


def _reached(
    event: Event, asn: int, onset: int, minutes: float, found: dict[str, float], into: Delays
) -> None:
    for network in event.networks:
        if network.asn != asn or network.tier is Tier.UNCONFIRMED:
            continue
        if LIKELY not in found:
            into.onsets.append((event.onset - onset) / 60_000)
        found.setdefault(LIKELY, minutes)
        if network.tier is Tier.CONFIRMED:
            found.setdefault(CONFIRMED, minutes)
