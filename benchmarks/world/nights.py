# SPDX-License-Identifier: Apache-2.0
"""Blocks that begin in the small hours, when part of a network's vantages are off, each night the
same ones: how soon those who are awake confirm them, and from when on they page.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from benchmarks.world.alarms import CONFIRMED, PAGE, WARM_DAYS
from benchmarks.world.blocks import BLACKHOLE, FULL, HOUR_MS, Scenario
from benchmarks.world.delays import town
from benchmarks.world.faults import CONTROL
from benchmarks.world.figures import most, percentile
from benchmarks.world.rates import Rates
from benchmarks.world.retesting import Saved, learnt, tried_on
from benchmarks.world.scene import START, SpreadScene
from benchmarks.world.trials import days
from benchmarks.world.vantages import Person
from monitor.detection.model import Tier
from monitor.detection.policy import Policy

DAY_MS = 24 * HOUR_MS
BEGINS, LASTS_MS = 1, 3 * HOUR_MS
"""The local hour from which on blocks begin, and for how long one may."""
ASLEEP = (0.3, 0.5, 0.8)
"""Shares of the vantages that are off at four in the morning."""
UNTIL_HOURS = 12.0
"""How long is waited: all are awake again."""
GOAL_MINUTES, GOAL_SHARE = 30.0, 0.95
"""Of the blocks with a signature that two owners who are awake can tell, this share is to be
confirmed within so many minutes."""
BLOCKS: Sequence[Scenario] = tuple(
    replace(each, horizon_hours=UNTIL_HOURS) for each in (FULL, BLACKHOLE)
)
MANY = 3
"""So many who can tell, or more, are one row of the table."""
BLOCKED = 6
"""Other services are blocked, and probes have the default traffic budget."""
Job = tuple[int, int, int, int, float]
"""Interval in seconds, vantages, seed, nights, and the share of the vantages that sleeps."""


@dataclass(frozen=True)
class Night:
    """A block that began at night. Minutes from its beginning, inf for never."""

    size: int
    block: str
    can_tell: int
    """Owners of whom a vantage is on for the next half hour, and has no fault of its own."""
    confirmed: float
    paged: float


def tried(job: Job, policy: Policy, rates: Rates) -> Sequence[Night]:
    """One block of each kind a night in the first network of one world. `rates`: of vantages that
    are all on by day."""
    interval, size, seed, nights, asleep = job
    sleepy = replace(rates, online_night=1 - asleep, habits=True)
    scene = SpreadScene(
        town(size),
        seed=seed,
        interval=1000 * interval,
        days=days(nights, UNTIL_HOURS, DAY_MS),
        rates=sleepy,
    )
    rng, here = random.Random(f"nights {seed}"), scene.people[0]
    warm = START + WARM_DAYS * DAY_MS
    live, found = learnt(scene, warm - HOUR_MS, policy, rng, BLOCKED), list[Night]()
    at = float(warm)
    for _ in range(nights):
        at = _next_night(at, here.zone) + rng.uniform(0, LASTS_MS)
        live.run(int(at))
        if any(one.event.tier is not Tier.UNCONFIRMED for one in live.state.open_events.values()):
            continue
        owners = len({each.owner for each in _who_can_tell(scene, live.now, here.asn)})
        for block in BLOCKS:
            # Each from its own chance, so that one more block changes nothing of the others.
            chance, into = random.Random(f"try {seed} {int(at)} {block.name}"), Saved()
            tried_on(live.copy(chance), block, here.asn, policy, into, last=PAGE)
            found.append(
                Night(size, block.name, owners, into.minutes[CONFIRMED][0], into.minutes[PAGE][0])
            )
    return found


def _next_night(at: float, zone: int) -> float:
    """When the next night begins after a moment (Unix ms) whose night is over, for people whose
    clocks are so many hours ahead."""
    begins = (BEGINS - zone) * HOUR_MS
    return math.ceil((at - begins) / DAY_MS) * DAY_MS + begins


def _who_can_tell(scene: SpreadScene, now: int, asn: int) -> Sequence[Person]:
    """The vantages of a network that are on for the next half hour and have no fault; none while
    the control has one. A block may still let a measurement of theirs pass."""
    until = now + int(60_000 * GOAL_MINUTES)
    faults = [each for each in scene.faults.between(now, until) if each.kind != "host_outage"]
    troubled = {index for fault in faults for index in fault.whom}
    later = {each.index for each in scene.on(until)}
    return [
        each
        for each in scene.on(now)
        if each.asn == asn
        and each.index in later
        and each.index not in troubled
        and CONTROL not in troubled
    ]


def table(found: Iterable[Night]) -> tuple[list[str], list[str]]:
    """The lines of the table, and those goals that are missed."""
    rows: defaultdict[tuple[str, int, int], list[Night]] = defaultdict(list)
    for each in found:
        rows[each.block, each.size, min(MANY, each.can_tell)].append(each)
    lines = [
        "Blocks that begin between one and four at night, with sleepers",
        "",
        f"| block | N | can tell | blocks | confirmed within {GOAL_MINUTES:g} min "
        "| confirmed, min p50 / p95 | paged within so long | paged, p50 / p95 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    soon = whole = 0
    for (block, size, can_tell), nights in sorted(rows.items()):
        confirmed = [night.confirmed for night in nights]
        paged = [night.paged for night in nights]
        number = _soon(confirmed)
        owners = f"{can_tell}{' or more' if can_tell == MANY else ''}"
        lines.append(
            f"| {block} | {size} | {owners} | {len(nights)} | {number} | {_minutes(confirmed)} "
            f"| {_soon(paged)} | {_minutes(paged)} |"
        )
        if block == FULL.name and can_tell > 1:
            soon, whole = soon + number, whole + len(nights)
    share = f"{soon} of {whole} with a signature that two or more can tell are confirmed in time"
    bound = most(whole - soon) / max(1, whole)
    lines += ["", f"{share}: at most {bound:.1%} are not (upper 95 % bound)"]
    return lines, [f"MISSED nights: {share}"] if soon < GOAL_SHARE * whole else []


def _soon(minutes: Sequence[float]) -> int:
    return sum(each <= GOAL_MINUTES for each in minutes)


def _minutes(values: Sequence[float]) -> str:
    return " / ".join(
        f"{value:.0f}" if math.isfinite(value := percentile(values, share)) else "never"
        for share in (0.5, 0.95)
    )
