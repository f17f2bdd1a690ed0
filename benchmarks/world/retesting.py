# SPDX-License-Identifier: Apache-2.0
"""Blocks, and faults that are none, as the fleet meets them in production: vantages take turns in
their interval, and the detector asks for retests (`benchmarks.world.live`).

One world runs on; from each of many moments every block is tried on a copy of it. Before the first
moment the detector learns its baselines from the same measurements, round by round and without
retests, which takes a tenth of the time.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.world.alarms import CONFIRMED, LIKELY, PAGE, WARM_DAYS, pages
from benchmarks.world.blocks import HOUR_MS, Block, Scenario
from benchmarks.world.live import Live
from benchmarks.world.rates import RATES, Rates
from benchmarks.world.scene import START, SpreadScene
from benchmarks.world.trials import BETWEEN_MS, days
from benchmarks.world.vantages import Settlement
from monitor.detection.events.fold import initial, step
from monitor.detection.model import Event, Tier
from monitor.detection.policy import Policy

TIERS = (LIKELY, CONFIRMED, PAGE)
FAULT_MINUTES = (20, 90)
"""How long a peering fault lasts."""
AFTER_MS = 3 * HOUR_MS
"""For so long after its end a fault is followed."""


@dataclass
class Saved:
    """Minutes from onset to each tier (inf for never), and what retests a block took."""

    minutes: dict[str, list[float]] = field(default_factory=lambda: {t: [] for t in TIERS})
    asked: list[int] = field(default_factory=list)
    """Requests to a network."""

    def add(self, other: Saved) -> None:
        """Take another world's tries as well."""
        for tier, values in other.minutes.items():
            self.minutes[tier] += values
        self.asked += other.asked


@dataclass
class Quiet:
    """What happened while nothing was blocked."""

    days: float = 0.0
    """Days, times vantages."""
    retested: int = 0
    """Retests of the target that vantages made in them."""
    series_days: float = 0.0
    """Days, times networks."""
    alarms: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TIERS, 0))
    """Events that reached each tier: false alarms."""

    def add(self, other: Quiet) -> None:
        """Take another world's days as well."""
        self.days += other.days
        self.retested += other.retested
        self.series_days += other.series_days
        for tier, count in other.alarms.items():
            self.alarms[tier] += count


@dataclass
class Found:
    """All that worlds of one interval and one size showed."""

    tries: dict[str, Saved] = field(default_factory=dict)
    """By name of the scenario."""
    quiet: Quiet = field(default_factory=Quiet)

    def add(self, other: Found) -> None:
        """Take another world as well."""
        for name, some in other.tries.items():
            self.tries.setdefault(name, Saved()).add(some)
        self.quiet.add(other.quiet)


def saved(
    networks: Sequence[Settlement],
    scenarios: Sequence[Scenario],
    *,
    seed: int,
    tries: int,
    policy: Policy,
    interval: int = 300_000,
    rates: Rates = RATES,
    blocked: int | None = None,
) -> Found:
    """Try blocks, and faults where a scenario is one, at `tries` moments of one world, always in
    its first network. `blocked`: as in `Live`."""
    length = days(tries, max(scenario.horizon_hours for scenario in scenarios))
    scene = SpreadScene(networks, seed=seed, interval=interval, days=length, rates=rates)
    rng, asn = random.Random(f"retests {seed}"), networks[0].asn
    warm = START + WARM_DAYS * 86_400_000
    live, found = learnt(scene, warm - HOUR_MS, policy, rng, blocked), Found()
    live.run(warm)
    live.retested = 0
    reached: dict[str, set[str]] = {tier: set() for tier in TIERS}

    def note(event: Event, at: int) -> None:
        for network in event.networks:
            if network.tier is not Tier.UNCONFIRMED:
                reached[LIKELY].add(event.id)
            if network.tier is Tier.CONFIRMED:
                reached[CONFIRMED].add(event.id)
        if pages(event, policy):
            reached[PAGE].add(event.id)

    live.on_change = note
    at = float(warm)
    for _ in range(tries):
        at += rng.uniform(0.5, 1.5) * BETWEEN_MS
        live.run(int(at))
        if any(one.event.tier is not Tier.UNCONFIRMED for one in live.state.open_events.values()):
            continue
        for scenario in scenarios:
            # Each from its own chance, so that one more scenario changes nothing of the others.
            chance = random.Random(f"try {seed} {int(at)} {scenario.name}")
            into = found.tries.setdefault(scenario.name, Saved())
            tried_on(live.copy(chance), scenario, asn, policy, into)
    lasted = (at - warm) / 86_400_000
    found.quiet = Quiet(
        days=lasted * len(scene.people),
        retested=live.retested,
        series_days=lasted * len(networks),
        alarms={tier: len(events) for tier, events in reached.items()},
    )
    return found


def learnt(
    scene: SpreadScene,
    until: int,
    policy: Policy,
    rng: random.Random,
    blocked: int | None = None,
) -> Live:
    """A detector that has learnt its baselines by then (Unix ms)."""
    state, n = initial("service"), 0
    while scene.round(n) < until:
        if facts := scene.facts(n, rng):
            state, _ = step(state, scene.round(n), facts, policy)
        n += 1
    return Live(scene, policy, rng, state, n, blocked=blocked)


def tried_on(
    live: Live, scenario: Scenario, asn: int, policy: Policy, into: Saved, last: str = CONFIRMED
) -> None:
    """Try a block, or a fault, in a network of a world that is used up by it. A block is followed
    until the tier `last`, a fault until it pages."""
    onset, rng = live.now, live.rng
    block = scenario.block(asn, onset)
    found: dict[str, float] = {}
    until = onset + int(scenario.horizon_hours * HOUR_MS)
    if scenario.natural:
        lasts = rng.uniform(*FAULT_MINUTES) * 60_000
        block = Block(asn, onset, scenario.share, natural=True, until=int(onset + lasts))
        last, until = PAGE, int(onset + lasts) + AFTER_MS

    def reached(event: Event, at: int) -> None:
        minutes = (at - onset) / 60_000
        for network in event.networks:
            if network.asn != asn or network.tier is Tier.UNCONFIRMED:
                continue
            found.setdefault(LIKELY, minutes)
            if network.tier is Tier.CONFIRMED:
                found.setdefault(CONFIRMED, minutes)
        if asn in event.asns and pages(event, policy):
            found.setdefault(PAGE, minutes)

    live.blocks, live.on_change = (block,), reached
    live.run(until, lambda: last in found)
    for tier, minutes in into.minutes.items():
        minutes.append(found.get(tier, math.inf))
    into.asked.append(live.asked)
