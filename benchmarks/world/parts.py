# SPDX-License-Identifier: Apache-2.0
"""Blocks of a part of a network: only some of its vantages are behind the blocking device. How many
such blocks are found within half a day, with and without the rule for divided networks.

Two vantages that begin to lie at the same time produce the same facts, so these figures also show
what they can cause.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from benchmarks.world.alarms import WARM_DAYS
from benchmarks.world.blocks import Block
from benchmarks.world.delays import town
from benchmarks.world.figures import percentile
from benchmarks.world.rates import Rates
from benchmarks.world.scene import Scene
from monitor.detection.events.fold import initial, step
from monitor.detection.events.state import ServiceState
from monitor.detection.model import Tier
from monitor.detection.policy import Policy

DAY_MS = 86_400_000
INTERVAL = 300_000
HORIZON = DAY_MS // 2 // INTERVAL
"""Rounds."""
NEVER_SECONDS = 10**9
WITH, WITHOUT = "split", "quorum alone"


@dataclass
class Parts:
    """What became of some blocks."""

    likely: list[float] = field(default_factory=list)
    """Minutes until an event was likely; endless where none was."""
    confirmed: int = 0

    def add(self, other: Parts) -> None:
        """Count another world's as well."""
        self.likely += other.likely
        self.confirmed += other.confirmed


def parted(
    size: int,
    behind: int,
    *,
    seed: int,
    tries: int,
    policy: Policy,
    rates: Rates,
    horizon: int = HORIZON,
) -> Mapping[str, Parts]:
    """Block `behind` of `size` vantages, signed, `tries` times at the end of one world's warm-up;
    by WITH and WITHOUT."""
    days = WARM_DAYS + 1 + horizon * INTERVAL / DAY_MS
    scene = Scene(town(size), seed=seed, interval=INTERVAL, days=days, rates=rates)
    rng = random.Random(f"parts {seed}")
    state, warm = initial("service"), WARM_DAYS * DAY_MS // INTERVAL
    for n in range(warm):
        # No quorum is divided here that would not be without: the two ways part only in a block.
        state, _ = step(state, scene.round(n), scene.facts(n, rng), policy)
    found = {WITH: Parts(), WITHOUT: Parts()}
    alone = replace(policy, parts=replace(policy.parts, split_seconds=NEVER_SECONDS))
    for number in range(tries):
        for name, used in ((WITH, policy), (WITHOUT, alone)):
            found[name].add(_tried(scene, state, warm, behind, f"{seed} {number}", used, horizon))
    return found


def _tried(
    scene: Scene,
    state: ServiceState,
    first: int,
    behind: int,
    name: str,
    policy: Policy,
    horizon: int,
) -> Parts:
    """One block, from the same chance for both ways."""
    rng = random.Random(f"part {name}")
    asn = scene.people[0].asn
    mine = [person.index for person in scene.people if person.asn == asn]
    onset = scene.round(first) + rng.randrange(INTERVAL)
    block = Block(asn, onset, whom=frozenset(rng.sample(mine, behind)))
    likely, confirmed = float("inf"), False
    for n in range(first, first + horizon):
        state, changed = step(state, scene.round(n), scene.facts(n, rng, (block,)), policy)
        for event in changed:
            if asn in event.asns and event.tier is not Tier.UNCONFIRMED:
                likely = min(likely, (scene.round(n + 1) - onset) / 60_000)
                confirmed |= event.tier is Tier.CONFIRMED
    return Parts([likely], int(confirmed))


def table(found: Mapping[tuple[int, int], Mapping[str, Parts]]) -> Sequence[str]:
    """Lines for people."""
    lines = [
        "A part of a network, signed block, rounds of 300 s: found within 12 h",
        f"  {'':38}{'blocks':>8}{'likely':>8}{'median, min':>13}{'confirmed':>11}",
    ]
    for (size, behind), both in found.items():
        for name, some in both.items():
            within = sum(each != float("inf") for each in some.likely)
            middle = f"{percentile(some.likely, 0.5):.0f}" if 2 * within > len(some.likely) else "-"
            title = f"{behind} of {size}, {name}"
            lines.append(
                f"  {title:38}{len(some.likely):8}{within:8}{middle:>13}{some.confirmed:11}"
            )
    return lines
