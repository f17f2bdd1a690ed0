# SPDX-License-Identifier: Apache-2.0
"""Whom events from imported runs accuse, and how late they see a block, in worlds drawn at random:
`./scripts/bench imported [--tries N] [--seed N] [--only KIND]... [--jobs N] [--apart]
[--strict]`.

Of each kind of world (benchmarks/importing) so many are drawn. Counted are countries
that do not block: with an event that was ever `likely`, with one that is so at the end (it may have
been retracted), and with any event; and those that block: with an event, with a likely one, and
after how many hours. Everything follows from the seed.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.importing import worlds
from benchmarks.importing.page_worlds import PAGE_KINDS
from benchmarks.importing.worlds import rounds
from monitor.detection.events.fold import initial, step
from monitor.detection.events.imported.neighbours import heard
from monitor.detection.model import EventState, Tier
from monitor.detection.policy import Policy
from probes.wire.measurement import service_of
from tests.monitor.detection.imported_runs import HOUR, START

KINDS = {**worlds.KINDS, **PAGE_KINDS}
MOST_FALSE = 0.02
"""Of the countries of a kind without a block, so many may be accused at the end."""


class Outcome(NamedTuple):
    """What came of one world, in countries."""

    quiet: int = 0
    """Countries that do not block."""
    opened: int = 0
    """Of these, with any event."""
    ever: int = 0
    """… with one that was likely."""
    accused: int = 0
    """… that is likely and not retracted at the end."""
    blocking: int = 0
    found: int = 0
    """Of those that block, with an event that is not retracted."""
    likely: int = 0
    delays: tuple[float, ...] = ()
    """Hours from the beginning of a block to its event."""
    facts: int = 0
    seconds: float = 0.0


def outcome(job: tuple[str, int, bool]) -> Outcome:
    """Draw one world, and fold it."""
    kind, seed, apart = job
    draw = random.Random(f"{kind} {seed}")
    world = KINDS[kind](draw)
    policy = Policy()
    states = {name: initial(name) for name in sorted(map(service_of, world.targets))}
    events, ever, facts = {}, set[str](), 0
    began = time.process_time()
    for round, reported in rounds(world, draw):
        facts += len(reported)
        told = {name: state.told for name, state in states.items()}
        for name, state in states.items():
            mine = [fact for fact in reported if service_of(fact.target) == name]
            hears = () if apart else heard(name, told, round, policy)
            states[name], changed = step(state, round, mine, policy, heard=hears)
            events |= {event.id: event for event in changed}
            ever |= {event.country for event in changed if event.tier is Tier.LIKELY}
    seconds = time.process_time() - began
    left = [event for event in events.values() if event.state is not EventState.RETRACTED]
    opened = {event.country for event in events.values()}
    accused = {event.country for event in left if event.tier is Tier.LIKELY}
    found = {e.country for e in left if e.tier is Tier.LIKELY and e.service == world.service}
    quiet = {place.country for place in world.places} - set(world.blocked)
    first = {
        country: min(
            (
                event.opened
                for event in left
                if event.country == country
                and event.opened >= START + begins * HOUR
                and event.service == world.service
            ),
            default=None,
        )
        for country, begins in world.blocked.items()
    }
    return Outcome(
        quiet=len(quiet),
        opened=len(opened & quiet),
        ever=len(ever & quiet),
        accused=len(accused & quiet),
        blocking=len(world.blocked),
        found=sum(at is not None for at in first.values()),
        likely=len(found & set(world.blocked)),
        delays=tuple(
            (at - START) / HOUR - world.blocked[country]
            for country, at in first.items()
            if at is not None
        ),
        facts=facts,
        seconds=seconds,
    )


def summed(some: Iterable[Outcome]) -> Outcome:
    """All worlds of a kind together."""
    total = Outcome()
    for outcome in some:
        total = Outcome(*(mine + its for mine, its in zip(total, outcome, strict=True)))
    return total


def line(kind: str, total: Outcome) -> str:
    """One kind, for people."""
    late = f"{median(total.delays):.1f} h" if total.delays else "-"
    return (
        f"{kind:24} {total.quiet:6} quiet: {total.opened:4} opened {total.ever:4} likely "
        f"{total.accused:4} accused at the end; {total.blocking:4} blocking: {total.found:4} found "
        f"{total.likely:4} likely, median {late}; "
        f"{1e6 * total.seconds / max(1, total.facts):.0f} us a fact"
    )


def main() -> int:
    """Run; 0 unless a goal is missed and `--strict` is given."""
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0])
    parser.add_argument("--tries", type=int, default=10, help="worlds of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", action="append", choices=sorted(KINDS))
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--apart", action="store_true", help="services hear nothing of each other")
    parser.add_argument("--strict", action="store_true")
    given = parser.parse_args()
    missed = False
    with ProcessPoolExecutor(given.jobs) as pool:
        for kind in given.only or KINDS:
            jobs = [(kind, given.seed * 10_000 + n, given.apart) for n in range(given.tries)]
            total = summed(pool.map(outcome, jobs))
            missed |= total.accused > MOST_FALSE * total.quiet
            print(line(kind, total), flush=True)
    return 1 if missed and given.strict else 0


if __name__ == "__main__":
    sys.exit(main())
