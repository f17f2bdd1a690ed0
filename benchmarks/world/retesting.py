# SPDX-License-Identifier: Apache-2.0
"""What a retest on suspicion saves: the same blocks with and without it, facts folded as they
arrive.

A suspicion asks the network to measure again in the next minute
(`monitor.detection.sequence.suspicion` decides, with its bounds). Rounds are folded in the order
of their beginnings, so a retest in the middle of a round is folded after what that round has
brought so far, and both are folded again when more comes: that is what replay of the stored facts
would say at that moment.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.world.alarms import CONFIRMED, LIKELY
from benchmarks.world.blocks import Block, Scenario
from benchmarks.world.rates import RATES, Rates
from benchmarks.world.scene import ARRIVES_MS, Scene, SpreadScene
from benchmarks.world.trials import days, moments
from benchmarks.world.vantages import Settlement
from monitor.detection.model import Event, Fact, Tier
from monitor.detection.policy import Policy
from monitor.detection.sequence.fold import step
from monitor.detection.sequence.state import ServiceState
from monitor.detection.sequence.suspicion import Place, remembered, wanted

TICK_MS = 15_000
"""How often it is looked whether something is due, beside every arrival."""
WITHOUT, WITH = "as facts arrive", "as facts arrive, with retests"


@dataclass
class Saved:
    """Minutes from onset to each tier, and how many retests a block took."""

    minutes: dict[str, list[float]] = field(default_factory=lambda: {LIKELY: [], CONFIRMED: []})
    asked: list[int] = field(default_factory=list)

    def add(self, other: Saved) -> None:
        """Take another world's tries as well."""
        for tier, values in other.minutes.items():
            self.minutes[tier] += values
        self.asked += other.asked


@dataclass
class _Watch:
    """One block in one network, moment by moment."""

    scene: Scene
    policy: Policy
    rng: random.Random
    asn: int
    block: Block
    base: ServiceState
    """All rounds before the present one."""
    retests: bool
    extra: dict[int, list[Fact]] = field(default_factory=dict)
    """Retests that are not in the base yet, by round."""
    asked: dict[Place, tuple[int, ...]] = field(default_factory=dict)
    times: int = 0
    found: dict[str, float] = field(default_factory=dict)

    def round(self, n: int) -> None:
        """Let the n-th round pass."""
        start, end = self.scene.round(n), self.scene.round(n + 1)
        facts = self.scene.facts(n, self.rng, (self.block,))
        moments = [fact.started + ARRIVES_MS for fact in facts if fact.asn == self.asn]
        moments += range(start, end, TICK_MS)
        moments += [f.started + ARRIVES_MS for some in self.extra.values() for f in some]
        heapq.heapify(moments)
        before, state = -1, self.base
        while moments and (at := heapq.heappop(moments)) < end and CONFIRMED not in self.found:
            here = [fact for fact in facts if fact.started + ARRIVES_MS <= at]
            known = len(here) + sum(len(some) for _, some in self._until(at))
            if known != before:
                state, before = self._told(start, here, at), known
            for fact in self._asks(state, at):
                heapq.heappush(moments, fact.started + ARRIVES_MS)
        whole = facts + self.extra.pop(start, [])
        if whole:
            self.base, _ = step(self.base, start, whole, self.policy)
        for round in sorted(each for each in self.extra if each < end):
            self.base, _ = step(self.base, round, self.extra.pop(round), self.policy)

    def _until(self, at: int) -> list[tuple[int, list[Fact]]]:
        told = (
            (round, [f for f in some if f.started + ARRIVES_MS <= at])
            for round, some in sorted(self.extra.items())
        )
        return [(round, some) for round, some in told if some]

    def _told(self, start: int, here: Sequence[Fact], at: int) -> ServiceState:
        state, rounds = self.base, dict(self._until(at))
        rounds[start] = [*here, *rounds.get(start, [])]
        for round, facts in sorted(rounds.items()):
            if facts:
                state, changed = step(state, round, facts, self.policy)
                for event in changed:
                    self._reached(event, at)
        return state

    def _reached(self, event: Event, at: int) -> None:
        for network in event.networks:
            if network.asn != self.asn or network.tier is Tier.UNCONFIRMED:
                continue
            minutes = (at - self.block.onset) / 60_000
            self.found.setdefault(LIKELY, minutes)
            if network.tier is Tier.CONFIRMED:
                self.found.setdefault(CONFIRMED, minutes)

    def _asks(self, state: ServiceState, at: int) -> list[Fact]:
        """The facts of the retest that is asked for now, if one is."""
        if not self.retests or at < self.block.onset:
            return []
        places = [p for p in wanted(state, self.policy, at, self.asked) if p[1] == self.asn]
        if not places:
            return []
        self.asked = remembered(self.asked, places, at, self.policy)
        self.times += 1
        length = self.policy.ms(self.policy.retest_round_seconds)
        round = at - at % length + length
        facts = self.scene.again(round, length, self.asn, self.rng, (self.block,))
        self.extra[round] = facts
        return facts


def saved(
    networks: Sequence[Settlement],
    scenario: Scenario,
    *,
    seed: int,
    tries: int,
    policy: Policy,
    interval: int = 300_000,
    rates: Rates = RATES,
    spread: bool = False,
) -> dict[str, Saved]:
    """Try a block at `tries` moments of one world, each with and without retests. `spread`: each
    vantage measures in its own minute of the interval."""
    length = days(tries, scenario.horizon_hours)
    kind = SpreadScene if spread else Scene
    scene = kind(networks, seed=seed, interval=interval, days=length, rates=rates)
    rng, asn = random.Random(f"retests {seed}"), networks[0].asn
    both = {WITHOUT: Saved(), WITH: Saved()}
    for at, n, state in moments(scene, tries, rng, policy):
        if any(one.event.tier is not Tier.UNCONFIRMED for one in state.open_events.values()):
            continue
        for name, into in both.items():
            block = scenario.block(asn, at)
            watch = _Watch(scene, policy, rng, asn, block, state, name == WITH)
            m, last = n, n + int(scenario.horizon_hours * 3_600_000 / scene.interval)
            while m < last and CONFIRMED not in watch.found:
                watch.round(m)
                m += 1
            for tier, minutes in into.minutes.items():
                minutes.append(watch.found.get(tier, math.inf))
            into.asked.append(watch.times)
    return both
