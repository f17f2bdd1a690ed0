# SPDX-License-Identifier: Apache-2.0
"""How true the stated confidence is in worlds that the weights may not have been fitted to, by
world and in their mixture: share of true events among those stated at 90 % or more, calibration
error, false pages."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from benchmarks.world.calibration import (
    SURE,
    Weights,
    Worth,
    chance,
    counted,
    figures,
    score,
    sure,
    weights,
    worths,
)
from benchmarks.world.faults import network_faults
from benchmarks.world.figures import most
from benchmarks.world.hazards import MIXTURE, NOMINAL, STRANGERS, WORLDS, quiet_as, world
from benchmarks.world.report import Goals
from benchmarks.world.statements import Story, fault_ones, hazard_ones, quiet_ones, true_ones
from benchmarks.world.unfitted import UNFITTED
from benchmarks.world.vantages import COUNTRIES as QUIET_COUNTRIES
from benchmarks.world.vantages import populate, settled
from monitor.detection.events.confidence import MOST_SURE, WEIGHTS
from monitor.detection.model import Tier
from monitor.detection.policy import Policy

POLICY = Policy()
LONGEST_MINUTES = 8 * 60.0
"""Longer blocks say nothing new, and take long to simulate."""
QUIET_DAYS = 61
QUIET_SEEDS = 8
"""Of quiet days at least, before a calibration error is judged: of seven seeds one had no likely
statement in these days, and one had 65."""
TRUE_AT_LEAST, ERROR_EACH, ERROR_POOLED, FALSE_PAGES = 0.9, 0.1, 0.05, 0.1
OUTAGES = ("regional outage of the service", "national outage of the service", MIXTURE)
PORTS = ("an old port is closed", "an old port is closed by country", "a name is retired")
ONE_FAMILY = ("one address family", MIXTURE)
MOVES = ("edges of a service move",)
OCCURS: Mapping[str, Sequence[str]] = {
    "answers_unknown": MOVES,
    "dead_elsewhere": OUTAGES,
    "everywhere_at_once": OUTAGES,
    "moves_between_countries": ("an old port is closed by country",),
    "moves_edges": MOVES,
    "new_vantages": (STRANGERS,),
    "old_denial": ("faults of resolvers", "a zone is wrong for minutes", MIXTURE),
    "one_port": PORTS,
    "one_release": ("a faulty release of the probe",),
    "overloaded": ("evening overload", "a NAT without ports", MIXTURE),
    "partial_ipv4": ONE_FAMILY,
    "partial_ipv6": ONE_FAMILY,
    "partial_port": PORTS,
    "path_unknown": OUTAGES,
    "public_resolver": ("an operator of resolvers",),
    "refused_by_service": ("refusal by reputation", "refusal of a network", MIXTURE),
    "shared_line": ("a filter before two owners", "a way out into another country"),
    "shields_servers": (
        *("signed faults of the target alone", "edges refuse a name", "a shield"),
        MIXTURE,
    ),
    "spares_some": ("a filter on some machines", "a way out into another country"),
    "taken_over": ("a domain lapses",),
    "validation_fails": ("faults of resolvers", MIXTURE),
}
"""Explanation other than a block -> worlds in which what it speaks of occurs."""
Job = tuple[str, int, str, int]
"""World, seed, part, its length."""
HAZARDS, BLOCKS, QUIET = "hazards", "blocks", "quiet"
BLOCK = "block"
"""The cause of a story of a block."""
RISEN = (Tier.LIKELY, Tier.CONFIRMED)


def played(job: Job) -> list[Story]:
    """What is said in one part of one world, each story weighted by how often it occurs a year and
    country."""
    name, seed, part, length = job
    drawn = world(name, seed)
    if part == BLOCKS:
        prior = replace(drawn.blocks, longest_minutes=LONGEST_MINUTES)
        found = true_ones(seed, length, POLICY, drawn.rates, prior, drawn.sizes)
        return [replace(story, weight=story.weight * drawn.blocks_yearly) for story in found]
    if part == QUIET:
        return quiet_ones(seed, length, POLICY, drawn.rates, drawn.sizes)
    if drawn.hazards:
        return hazard_ones(seed, length, POLICY, drawn)
    return fault_ones(seed, length, POLICY, drawn.rates, drawn.sizes)


@dataclass(frozen=True)
class Found:
    """What one kind of world said."""

    name: str
    stories: Sequence[Story]
    networks: float
    """Networks of a country, on average."""
    years: tuple[float, float] = (0.0, 0.0)
    """Network-years that were simulated: without faults of networks, and with them."""
    quiet_seeds: int = 0
    """Of the days without faults of networks."""

    def stated(self, by: Weights) -> tuple[float, float, int, int]:
        """Events stated at 90 % or more, each once: (true, false) a year and country, and how many
        of each were simulated."""
        weight, number = [0.0, 0.0], [0, 0]
        for story in self.stories:
            for what, true, _ in story.said:
                if chance(what, by) >= SURE:
                    weight[true] += story.weight
                    number[true] += 1
                    break
        return weight[1], weight[0], number[1], number[0]

    def false_pages(self, by: Weights) -> tuple[float, float]:
        """False pages a service, network and year, and their upper 95 % bound."""
        found = sure(self.stories, by)
        least = max((s.weight for s in self.stories if s.cause != BLOCK), default=0.0)
        return found.false / self.networks, (
            found.false - found.falses * least + most(found.falses) * least
        ) / self.networks


def jobs_of(name: str, seeds: Sequence[int], more: Sequence[int], tries: int) -> list[list[Job]]:
    """What is played of a world, each kind of part with its seeds. `more`: those of the mixture's
    faults and of the days that it shares with others: false pages are rare, so that they take many
    more worlds than blocks do."""
    quiet = quiet_as(name)
    return [
        [(name, seed, HAZARDS, tries) for seed in (more if name == MIXTURE else seeds)],
        [(name, seed, BLOCKS, tries) for seed in seeds],
        [
            (quiet, seed, QUIET, QUIET_DAYS)
            for seed in (more if quiet == NOMINAL else more[:QUIET_SEEDS])
        ],
    ]


def gathered(
    every: Callable[[Callable[[Job], list[Story]], Sequence[Job]], Iterable[list[Story]]],
    names: Iterable[str],
    seeds: Sequence[int],
    tries: int,
    more: Sequence[int] = (),
) -> list[Found]:
    """Play all worlds with all seeds. `more`: as in `jobs_of`; the same seeds where none are
    given."""
    jobs = {name: jobs_of(name, seeds, more or seeds, tries) for name in names}
    every_job = dict.fromkeys(job for parts in jobs.values() for part in parts for job in part)
    # All worlds first: a run that is broken off then lacks only what makes the bounds tighter.
    unlike = sorted(every_job, key=lambda job: job[1] not in seeds)
    said = dict(zip(unlike, every(played, unlike), strict=True))
    found = []
    for name, parts in jobs.items():
        stories = [
            replace(story, weight=story.weight / len(part), seed=job[1])
            for part in parts
            for job in part
            for story in said[job]
        ]
        sizes = [len(world(name, seed).sizes) for seed in seeds]
        networks = sum(sizes) / len(sizes)
        faults, _, quiet = parts
        years = _quiet_years(quiet), sum(tries / _yearly(name, seed) for _, seed, *_ in faults)
        lasted = (years[0] * networks, years[1] * networks)
        found.append(Found(name, stories, networks, lasted, len(quiet)))
    return found


def _quiet_years(jobs: Sequence[Job]) -> float:
    """Country-years."""
    return sum(len(QUIET_COUNTRIES) * days for *_, days in jobs) / 365


def _yearly(name: str, seed: int) -> float:
    """How many faults of networks a country has a year."""
    drawn = world(name, seed)
    people = populate(settled(drawn.sizes, QUIET_COUNTRIES[:1]), drawn.rates, random.Random(0))
    if not drawn.hazards:
        return network_faults(people, drawn.rates)
    return sum(hazard.often(people) for hazard in drawn.hazards)


def fitted(found: Sequence[Found]) -> Weights:
    """Weights fitted to all these worlds, each kind as heavy as any other."""
    return weights(
        counted(
            [
                replace(story, weight=story.weight / len(found))
                for kind in found
                for story in kind.stories
            ]
        )
    )


@dataclass(frozen=True)
class Bound:
    """What an explanation is worth in all worlds, and the most that may be said where it fits."""

    worth: Worth
    most: int
    """Per mille. A monitor watches a kind of world that is none of these: it is the least that the
    others support when one kind is left out."""


def bounds(found: Sequence[Found], by: Weights) -> dict[str, Bound]:
    """The bound of each explanation."""
    places = {
        (world.name, seed): worths([s for s in world.stories if s.seed == seed], by)
        for world in found
        for seed in {story.seed for story in world.stories}
    }
    bound = {}
    for remark in OCCURS:
        here = {place: told[remark] for place, told in places.items() if remark in told}
        names = {world.name for world in found}
        whole = _pooled(remark, names, here)
        kinds = {name for name, _ in here}
        without = [
            _pooled(remark, names - {left_out}, {p: w for p, w in here.items() if p[0] != left_out})
            for left_out in (kinds if len(kinds) > 1 else ())
        ]
        bound[remark] = Bound(whole, min(worth.most for worth in (whole, *without)))
    return bound


def _pooled(remark: str, names: Set[str], here: Mapping[tuple[str, int], Worth]) -> Worth:
    """What an explanation is worth in kinds of worlds, by kind and seed. Nobody knows whether what
    it speaks of occurs where a monitor watches: the kinds in which it does, and all others, have
    half of the weight each."""
    side = Counter(name in OCCURS[remark] for name in names)
    return sum(
        (worth * (1 / side[name in OCCURS[remark]]) for (name, _), worth in here.items()), Worth()
    )


def told(found: Sequence[Found], goals: Goals, by: Weights = WEIGHTS) -> None:
    """Print the table and the bins of all worlds together, and add the goals."""
    print(
        f"\n{'world':36}{'stated >= 90 %':>16}{'true':>8}{'error':>8}{'false pages':>13}"
        f"{'(95 %)':>9}{'blocks stated':>15}"
    )
    for each in found:
        _told(each, goals, by)
    pooled = [
        replace(story, weight=story.weight / len(found)) for each in found for story in each.stories
    ]
    every = score(figures(pooled, by), by, RISEN)
    print(
        f"\nAll worlds, likely and confirmed events, each statement once: calibration error "
        f"{every.error:.3f}, Brier {every.brier:.3f}\n  {'a year':>10}{'stated':>9}{'true':>9}"
    )
    for interval in every.bins:
        print(f"  {interval.weight:10.2f}{interval.said:9.3f}{interval.true:9.3f}")
    print(
        f"\n{'explanation that fits':30}{'stories':>10}{'seeds':>8}{'true':>8}{'at most':>10}"
        f"{'said':>8}{'no more than':>14}"
    )
    every_bound = bounds(found, by)
    for remark, bound in every_bound.items():
        worth = bound.worth
        print(
            f"  {remark:28}{worth.stories:10.1f}{worth.seeds:8.1f}{worth.share:8.1%}"
            f"{bound.most / 1000:10.1%}{MOST_SURE[remark] / 1000:8.1%}"
            f"{worth.contradicts / 1000:14.1%}"
        )
    high = [r for r, bound in every_bound.items() if MOST_SURE[r] > bound.worth.contradicts]
    goals.say(not high, f"bounds of explanations that are too high: {', '.join(high) or 'none'}")
    print(f"\n{'blocks of all worlds':44}{'simulated':>10}{'stated >= 90 %':>16}")
    for kind, (count, stated) in stated_by_kind(found, by).items():
        print(f"  {kind:42}{count:10}{stated / count:16.1%}")
    if all(each.quiet_seeds >= QUIET_SEEDS for each in found):
        goals.say(
            every.error <= ERROR_POOLED,
            f"all worlds: calibration error {every.error:.3f}, at most {ERROR_POOLED}",
        )


def stated_by_kind(found: Sequence[Found], by: Weights) -> dict[str, tuple[int, int]]:
    """What blocks look like -> how many were simulated, and of how many that was ever stated at
    90 % or more while they lasted."""
    counts: dict[str, tuple[int, int]] = {}
    for story in (story for each in found for story in each.stories if story.cause == BLOCK):
        stated = any(true and chance(what, by) >= SURE for what, true, _ in story.said)
        count, had = counts.get(story.kind, (0, 0))
        counts[story.kind] = count + 1, had + stated
    return dict(sorted(counts.items()))


def _told(world: Found, goals: Goals, by: Weights) -> None:
    true, false, trues, falses = world.stated(by)
    share = true / max(1e-9, true + false)
    error = score(figures(world.stories, by), by, RISEN).error
    pages, bound = world.false_pages(by)
    blocks = sum(story.weight for story in world.stories if story.cause == BLOCK)
    print(
        f"{world.name:36}{trues:8} + {falses:5}{share:8.1%}{error:8.3f}{pages:13.3f}{bound:9.3f}"
        f"{true / max(1e-9, blocks):15.1%}"
    )
    causes: dict[str, float] = {}
    for story in world.stories:
        if story.cause != BLOCK and any(chance(what, by) >= SURE for what, _, _ in story.said):
            causes[story.cause] = causes.get(story.cause, 0.0) + story.weight
    for cause, weight in sorted(causes.items(), key=lambda each: -each[1]):
        print(f"      {weight:.3f} a year and country: {cause}")
    if trues + falses:
        goals.say(
            share >= TRUE_AT_LEAST,
            f"{world.name}: of what is stated at 90 % {share:.1%} is true, at least "
            f"{TRUE_AT_LEAST:.0%}",
        )
    if world.quiet_seeds < QUIET_SEEDS:
        print(f"      error not judged: quiet days of {world.quiet_seeds} seeds alone")
    else:
        said = f"{world.name}: calibration error {error:.3f}, at most {ERROR_EACH}"
        goals.say(error <= ERROR_EACH, said)
    if world.name == MIXTURE:
        goals.say(
            bound <= FALSE_PAGES,
            f"{world.name}: at most {bound:.3f} false pages a service, network and year (95 %), at "
            f"most {FALSE_PAGES} ({world.years[0]:.1f} network-years without faults of networks, "
            f"{world.years[1]:.1f} with them)",
        )


FITTED = tuple(WORLDS)
NAMES = (*FITTED, *UNFITTED)
