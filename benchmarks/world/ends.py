# SPDX-License-Identifier: Apache-2.0
"""The ends of blocks as the fleet meets them in production (`benchmarks.world.live`): how long it
takes until the event of a block that was lifted is closed, and how many are closed before.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.world.alarms import WARM_DAYS
from benchmarks.world.blocks import (
    BLACKHOLE,
    FLAPPING,
    FULL,
    HALF,
    HALF_BARE,
    HOUR_MS,
    MOST,
    THIRD,
    WEAKENS,
    Scenario,
)
from benchmarks.world.delays import town
from benchmarks.world.figures import most, percentile
from benchmarks.world.rates import Rates
from benchmarks.world.retesting import learnt
from benchmarks.world.scene import START, SpreadScene
from benchmarks.world.trials import BETWEEN_MS, days
from monitor.detection.model import Event, EventState, Tier
from monitor.detection.policy import Policy

SCENARIOS: Sequence[Scenario] = (FULL, BLACKHOLE, FLAPPING, MOST, HALF, HALF_BARE, THIRD, WEAKENS)
GOAL_FOR = {FULL.name, BLACKHOLE.name, HALF.name, HALF_BARE.name}
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
    seemed: list[float] = field(default_factory=list)
    """From the end of a block until its event seemed to end, for good; inf as above."""
    hours: float = 0.0
    """How long all of them lasted after they were confirmed."""
    wrong: int = 0
    """Events that were closed while their block went on."""
    missed: int = 0
    """Blocks that were not confirmed before their end."""

    def add(self, other: Ends) -> None:
        """Take another world's blocks as well."""
        self.minutes += other.minutes
        self.seemed += other.seemed
        self.hours += other.hours
        self.wrong, self.missed = self.wrong + other.wrong, self.missed + other.missed


PLACES = ((2, 1800), (3, 1800), (5, 1800), (10, 1800), (3, 300), (5, 300))
"""Vantages and interval in seconds, without others being asked for."""
Job = tuple[int, int, int, int, int]
"""Interval in seconds, vantages, seed, blocks of each kind, and how many of the vantages are known
for eight days alone."""


def ended(job: Job, policy: Policy, rates: Rates) -> Mapping[str, Ends]:
    """Blocks that end, by kind, at moments of one world."""
    interval, size, seed, tries, new = job
    here, *others = town(size)
    networks = [replace(here, strangers=new), *others]
    scene = SpreadScene(
        networks, seed=seed, interval=1000 * interval, rates=rates, days=days(tries, 11)
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
            trial.blocks = (replace(scenario.block(asn, onset), until=until),)
            forms: list[tuple[int, Event]] = []
            trial.on_change = lambda event, at, forms=forms: forms.append((at, event))  # type: ignore[misc]
            trial.run(until + AFTER_HOURS * HOUR_MS, lambda f=forms, u=until: over(f, asn, u))  # type: ignore[misc]
            _note(table.setdefault(scenario.name, Ends()), forms, asn, until)
    return table


def over(forms: Sequence[tuple[int, Event]], asn: int, until: int) -> bool:
    """Whether no confirmed event of the network goes on after the block. Another may have ended."""
    last = {event.id: event for _, event in forms if event.confirmed and asn in event.asns}
    after = bool(forms) and forms[-1][0] > until
    return after and not any(event.ongoing for event in last.values())


def _note(into: Ends, forms: Sequence[tuple[int, Event]], asn: int, until: int) -> None:
    mine = [(at, event) for at, event in forms if event.confirmed and asn in event.asns]
    if not any(at < until for at, _ in mine):
        into.missed += 1
        return
    into.hours += (until - mine[0][0]) / HOUR_MS
    closed = [at for at, event in mine if event.state is EventState.CLOSED]
    into.wrong += any(at < until for at in closed)
    last = next((at for at in closed if at >= until), None)
    if last is not None or not any(at < until for at in closed):
        into.minutes.append(math.inf if last is None else (last - until) / 60_000)
        into.seemed.append(max(0.0, (_seems_since(mine) - until) / 60_000))


def _seems_since(forms: Sequence[tuple[int, Event]]) -> float:
    """Since when an event has seemed to end or been at its end; inf if it does not."""
    since = math.inf
    for at, event in reversed(forms):
        if event.state is EventState.OPEN:
            break
        since = at
    return since


Place = tuple[int, int]
"""Vantages and interval in seconds."""


def gathered(parts: Iterable[tuple[Place, Mapping[str, Ends]]]) -> Mapping[Place, dict[str, Ends]]:
    """Ends by place and kind of block, of all worlds together."""
    whole: dict[Place, dict[str, Ends]] = {}
    for place, by_name in parts:
        for name, ends in by_name.items():
            whole.setdefault(place, {}).setdefault(name, Ends()).add(ends)
    return whole


def table(gathered: Mapping[Place, Mapping[str, Ends]]) -> tuple[list[str], list[str]]:
    """The lines of the table, and those goals that are missed."""
    lines = [
        "Ends of blocks; vantages take turns, with retests",
        "",
        "| N, interval | block | confirmed | seems to end, min p50 / p90 / p95 | closed "
        "| while it ran (upper 95 % bound) |",
        "|---|---|---|---|---|---|",
    ]
    number_of_all = wrong_of_all = 0
    missed = []
    for (size, interval), by_name in sorted(gathered.items()):
        for name, ends in by_name.items():
            number = len(ends.minutes) + ends.wrong
            p95 = percentile(ends.minutes, 0.95)
            lines.append(
                f"| {size}, {interval} s | {name} | {number} of {number + ends.missed} "
                f"| {_minutes(ends.seemed)} | {_minutes(ends.minutes)} "
                f"| {ends.wrong} in {ends.hours:.0f} h "
                f"({_bound(ends.wrong, number)}) |"
            )
            number_of_all, wrong_of_all = number_of_all + number, wrong_of_all + ends.wrong
            case = f"MISSED N = {size}, {interval} s, {name}"
            if size >= 3 and name in GOAL_FOR and p95 > GOAL_MINUTES:
                missed.append(f"{case}: closed after {p95:.0f} min (p95)")
            if ends.wrong > GOAL_WRONG * number:
                missed.append(f"{case}: {ends.wrong} of {number} while it ran")
    lines += [
        "",
        f"Of all {number_of_all} blocks {wrong_of_all} were closed while they ran: at most "
        f"{_bound(wrong_of_all, number_of_all)} (upper 95 % bound; goal {GOAL_WRONG:.0%})",
    ]
    return lines, missed


def _minutes(values: Sequence[float]) -> str:
    return " / ".join(f"{percentile(values, share):.0f}" for share in (0.5, 0.9, 0.95))


def _bound(count: int, number: int) -> str:
    return f"{min(1.0, most(count) / max(1, number)):.1%}"
