# SPDX-License-Identifier: Apache-2.0
"""The ends of blocks as the fleet meets them in production (`benchmarks.world.live`): how long it
takes until the event of a block that was lifted is closed, and how many are closed before.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.world.alarms import WARM_DAYS
from benchmarks.world.blocks import BLACKHOLE, FULL, HALF, HALF_BARE, HOUR_MS, Block, Scenario
from benchmarks.world.delays import town
from benchmarks.world.figures import percentile
from benchmarks.world.rates import Rates
from benchmarks.world.retesting import learnt
from benchmarks.world.scene import START, SpreadScene
from benchmarks.world.trials import BETWEEN_MS, days
from monitor.detection.model import Event, EventState, Tier
from monitor.detection.policy import Policy

SCENARIOS: Sequence[Scenario] = (FULL, BLACKHOLE, HALF, HALF_BARE)
LASTS_HOURS = (2.0, 6.0)
"""A block lasts for between so many hours."""
AFTER_HOURS = 4
"""So long after its end it is waited for the event to close."""
GOAL_MINUTES, GOAL_WRONG = 25.0, 0.01


@dataclass
class Ends:
    """What became of confirmed blocks."""

    minutes: list[float] = field(default_factory=list)
    """From the end of a block to that of its event; inf when it stayed open."""
    wrong: int = 0
    """Events that were closed while their block went on."""
    missed: int = 0
    """Blocks that were not confirmed before their end."""

    def add(self, other: Ends) -> None:
        """Take another world's blocks as well."""
        self.minutes += other.minutes
        self.wrong, self.missed = self.wrong + other.wrong, self.missed + other.missed


SIZES = (2, 3, 5, 10)
Job = tuple[int, int, int]
"""Vantages, seed, blocks of each kind."""


def ended(size: int, seed: int, tries: int, policy: Policy, rates: Rates) -> Mapping[str, Ends]:
    """Blocks that end, by kind, at moments of one world with rounds of half an hour."""
    scene = SpreadScene(
        town(size), seed=seed, interval=1_800_000, rates=rates, days=days(tries, 11)
    )
    rng, asn = random.Random(f"ends {seed}"), 64501
    warm = START + WARM_DAYS * 86_400_000
    live, table = learnt(scene, warm - HOUR_MS, policy, rng), dict[str, Ends]()
    at = float(warm)
    for _ in range(tries):
        at += rng.uniform(0.5, 1.5) * BETWEEN_MS
        live.run(int(at))
        if any(one.event.tier is not Tier.UNCONFIRMED for one in live.state.open_events.values()):
            continue
        for scenario in SCENARIOS:
            chance = random.Random(f"try {seed} {int(at)} {scenario.name}")
            trial, onset = live.copy(chance), live.now
            until = onset + int(chance.uniform(*LASTS_HOURS) * HOUR_MS)
            trial.blocks = (Block(asn, onset, scenario.share, scenario.signature, until=until),)
            forms: list[tuple[int, Event]] = []
            trial.on_change = lambda event, at, forms=forms: forms.append((at, event))  # type: ignore[misc]
            trial.run(until + AFTER_HOURS * HOUR_MS, lambda f=forms, u=until: _over(f, u))  # type: ignore[misc]
            _note(table.setdefault(scenario.name, Ends()), forms, asn, until)
    return table


def _over(forms: Sequence[tuple[int, Event]], until: int) -> bool:
    return bool(forms) and forms[-1][0] > until and not forms[-1][1].ongoing


def _note(into: Ends, forms: Sequence[tuple[int, Event]], asn: int, until: int) -> None:
    mine = [(at, event) for at, event in forms if event.confirmed and asn in event.asns]
    if not any(at < until for at, _ in mine):
        into.missed += 1
        return
    closed = [at for at, event in mine if event.state is EventState.CLOSED]
    into.wrong += any(at < until for at in closed)
    last = next((at for at in closed if at >= until), None)
    if last is not None or not any(at < until for at in closed):
        into.minutes.append(math.inf if last is None else (last - until) / 60_000)


def gathered(parts: Iterable[tuple[int, Mapping[str, Ends]]]) -> Mapping[int, Mapping[str, Ends]]:
    """Ends by number of vantages and kind of block, of all worlds together."""
    whole: dict[int, dict[str, Ends]] = {}
    for size, by_name in parts:
        for name, ends in by_name.items():
            whole.setdefault(size, {}).setdefault(name, Ends()).add(ends)
    return whole


def table(gathered: Mapping[int, Mapping[str, Ends]]) -> tuple[list[str], list[str]]:
    """The lines of the table, and those goals that are missed."""
    lines = [
        "Ends of blocks; rounds of 1800 s in turns, with retests",
        "",
        "| N | block | confirmed | closed after, min p50 / p95 | closed while it ran |",
        "|---|---|---|---|---|",
    ]
    missed = []
    for size, by_name in sorted(gathered.items()):
        for name, ends in by_name.items():
            number = len(ends.minutes) + ends.wrong
            p50, p95 = (percentile(ends.minutes, share) for share in (0.5, 0.95))
            lines.append(
                f"| {size} | {name} | {number} of {number + ends.missed} | {p50:.0f} / {p95:.0f} "
                f"| {ends.wrong} |"
            )
            if size >= 3 and p95 > GOAL_MINUTES:
                missed.append(f"MISSED N = {size}, {name}: closed after {p95:.0f} min (p95)")
            if ends.wrong > GOAL_WRONG * number:
                missed.append(f"MISSED N = {size}, {name}: {ends.wrong} of {number} while it ran")
    return lines, missed
