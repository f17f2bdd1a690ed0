# SPDX-License-Identifier: Apache-2.0
"""Blocks, and faults that are none, as the fleet meets them in production: vantages take turns in
their interval, and the detector asks for retests (`benchmarks.world.live`).

One world runs on; from each of many moments a block is tried on a copy of it.
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
    days: float = 0.0
    """Days without a block, times vantages."""
    retested: int = 0
    """Retests of the target that vantages made in them."""

    def add(self, other: Saved) -> None:
        """Take another world's tries as well."""
        for tier, values in other.minutes.items():
            self.minutes[tier] += values
        self.asked += other.asked
        self.days += other.days
        self.retested += other.retested


def saved(
    networks: Sequence[Settlement],
    scenario: Scenario,
    *,
    seed: int,
    tries: int,
    policy: Policy,
    interval: int = 300_000,
    rates: Rates = RATES,
) -> Saved:
    """Try a block, or a fault when the scenario is one, at `tries` moments of one world, always in
    its first network."""
    scene = SpreadScene(
        networks,
        seed=seed,
        interval=interval,
        days=days(tries, scenario.horizon_hours),
        rates=rates,
    )
    rng, asn = random.Random(f"retests {seed}"), networks[0].asn
    live, into = Live(scene, policy, rng), Saved()
    warm = START + WARM_DAYS * 86_400_000
    live.run(warm)
    live.retested = 0
    at = float(warm)
    for _ in range(tries):
        at += rng.uniform(0.5, 1.5) * BETWEEN_MS
        live.run(int(at))
        if any(one.event.tier is not Tier.UNCONFIRMED for one in live.state.open_events.values()):
            continue
        _try(live.copy(), scenario, asn, rng, policy, into)
    into.days = (at - warm) / 86_400_000 * len(scene.people)
    into.retested = live.retested
    return into


def _try(
    live: Live, scenario: Scenario, asn: int, rng: random.Random, policy: Policy, into: Saved
) -> None:
    onset = live.now
    block = scenario.block(asn, onset)
    found: dict[str, float] = {}
    last, until = CONFIRMED, onset + int(scenario.horizon_hours * HOUR_MS)
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
