# SPDX-License-Identifier: Apache-2.0
"""False alarms: every alarm in a simulation without a block. Counted by network and tier, with the
fault that caused it."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.world.faults import HOUR_MS
from benchmarks.world.naive import RULES, Naive
from benchmarks.world.rates import RATES, Rates
from benchmarks.world.scene import Scene
from benchmarks.world.vantages import Settlement
from monitor.detection.events import confidence
from monitor.detection.events.fold import initial, step
from monitor.detection.model import Event, Fact, Tier
from monitor.detection.policy import Policy

WARM_DAYS = 8
"""The baseline's week and its lag: nothing is counted before."""
UNCONFIRMED, LIKELY = "unconfirmed", "likely"
SIGNATURE, BARE = "confirmed, with signature", "confirmed, without signature"
CONFIRMED, PAGE = "confirmed", "page"
TIERS = (UNCONFIRMED, LIKELY, SIGNATURE, BARE)
_BEHIND_MS = 2 * HOUR_MS
_CULPRITS = (
    "service_outage",
    "network_outage",
    "national",
    "upstream",
    "peering",
    "local_filter",
    "path",
)
_NAMED_ALONE = 5
"""So many of the culprits, the first ones, explain an alarm alone."""


@dataclass
class Tally:
    """What was counted; tallies of several worlds add up."""

    years: Counter[int] = field(default_factory=Counter)
    """Days watched, by size of network (in series-days)."""
    alarms: Counter[tuple[int, str]] = field(default_factory=Counter)
    """By size of network and tier or naive rule."""
    causes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Of confirmed and likely alarms, by tier and what was behind them."""
    confirmed: int = 0
    """Confirmed events after clustering."""
    pages: int = 0
    """Of those, the ones that the alert rule would have woken somebody for."""
    tickets: int = 0
    """Events that were likely at least."""
    facts: int = 0
    seconds: float = 0.0
    """CPU time of the fold alone."""

    def add(self, other: Tally) -> None:
        """Count another world's as well."""
        self.years += other.years
        self.alarms += other.alarms
        self.causes += other.causes
        self.confirmed += other.confirmed
        self.pages += other.pages
        self.tickets += other.tickets
        self.facts += other.facts
        self.seconds += other.seconds

    def series_years(self, size: int) -> float:
        """Series-years watched of networks of a size."""
        return self.years[size] / 365

    @property
    def all_years(self) -> float:
        """Series-years watched in all."""
        return sum(self.years.values()) / 365


def watch(
    networks: Sequence[Settlement],
    *,
    seed: int,
    interval: int,
    days: int,
    policy: Policy,
    rates: Rates = RATES,
) -> Tally:
    """Let one world go on for `days` after the warm-up and count."""
    scene = Scene(networks, seed=seed, interval=interval, days=days + WARM_DAYS, rates=rates)
    rng = random.Random(f"alarms {seed}")
    state = initial("service")
    tally, reached = Tally(), dict[tuple[str, int], set[str]]()
    naive = {network.asn: Naive() for network in networks}
    ringing: dict[int, set[str]] = {asn: set() for asn in naive}
    sizes = {network.asn: network.size for network in networks}
    warm = scene.round(0) + WARM_DAYS * 86_400_000
    for n in range(scene.rounds):
        facts = scene.facts(n, rng)
        round = scene.round(n)
        began = time.process_time()
        state, changed = step(state, round, facts, policy)
        tally.seconds += time.process_time() - began
        tally.facts += len(facts)
        counted = round >= warm
        for event in changed:
            into = tally if counted else Tally()
            _note(event, reached, sizes, scene, round, into, policy)
        by_network: dict[int, list[Fact]] = {}
        for fact in facts:
            by_network.setdefault(fact.asn, []).append(fact)
        for asn, rules in naive.items():
            now = rules.feed(round, by_network.get(asn, ()))
            if counted and now:
                for rule in now - ringing[asn]:
                    tally.alarms[sizes[asn], rule] += 1
            ringing[asn] = now
    for network in networks:
        tally.years[network.size] += days
    return tally


def _note(
    event: Event,
    reached: dict[tuple[str, int], set[str]],
    sizes: dict[int, int],
    scene: Scene,
    round: int,
    tally: Tally,
    policy: Policy,
) -> None:
    """Count what an event says that it did not say before."""
    whole = reached.setdefault((event.id, 0), set())
    if event.tier is Tier.CONFIRMED and CONFIRMED not in whole:
        whole.add(CONFIRMED)
        tally.confirmed += 1
    if PAGE not in whole and pages(event, policy):
        whole.add(PAGE)
        tally.pages += 1
    if event.tier is not Tier.UNCONFIRMED and LIKELY not in whole:
        whole.add(LIKELY)
        tally.tickets += 1
    for network in event.networks:
        known = reached.setdefault((event.id, network.asn), set())
        words = {UNCONFIRMED}
        if network.tier is not Tier.UNCONFIRMED:
            words.add(LIKELY)
        if network.tier is Tier.CONFIRMED and not known & {SIGNATURE, BARE}:
            words.add(SIGNATURE if network.signature else BARE)
        for word in words - known:
            tally.alarms[sizes[network.asn], word] += 1
            if word != UNCONFIRMED:
                tally.causes[word, behind(scene, network.asn, round)] += 1
        known |= words


def pages(event: Event, policy: Policy) -> bool:
    """Whether somebody is woken for an event in this form (monitor.alerts.promql.paged)."""
    sure = confidence.probability(event)
    return (
        event.tier is Tier.CONFIRMED
        and event.inhibited_by is None
        and sure is not None
        and sure >= policy.alerting.page_per_mille
    )


def behind(scene: Scene, asn: int, round: int) -> str:
    """The troubles of the last hours in a network that may be the cause, worst first."""
    mine = {p.index for p in scene.people if p.asn == asn}
    near = {
        (spell.kind, spell.start)
        for at in range(round - _BEHIND_MS, round + 1, HOUR_MS)
        for spell in scene.faults.between(at, at + HOUR_MS)
        if spell.whom & mine and spell.start <= round
    }
    kinds = Counter(kind for kind, _ in near)
    for kind in _CULPRITS[:_NAMED_ALONE]:
        if kinds[kind]:
            return kind
    words = [f"{kinds[k]} {k}" for k in _CULPRITS[_NAMED_ALONE:] if kinds[k]]
    return " + ".join(words) or "strays"


def rules() -> tuple[str, ...]:
    """All columns: our tiers and the naive rules."""
    return (*TIERS, *RULES)
