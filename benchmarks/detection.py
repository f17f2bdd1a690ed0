# SPDX-License-Identifier: Apache-2.0
"""Delays, false alarms and cost of the detector in a simulation:
`./scripts/bench detection [--years N] [--tries N] [--only PART] [--brief] [--jobs N] [--seed N]
[--interval SECONDS]... [--vantages N]... [--into FILE] [--world NAME]... [--strict]`.

Rates are in benchmarks/world/rates.py. Everything except CPU times follows from the seed. Without
arguments it takes some minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.size.rounds import Rounds
from benchmarks.world import blocks, crowd, ends, nights, worlds
from benchmarks.world.alarms import BARE, SIGNATURE, Tally, watch
from benchmarks.world.blocks import Scenario
from benchmarks.world.delays import Delays, town, tried
from benchmarks.world.parts import Parts, parted, table
from benchmarks.world.path import START, on_sqlite, replayed
from benchmarks.world.rates import RATES, Rates
from benchmarks.world.report import (
    Goals,
    alarms,
    costs,
    independent,
    lockstep,
    path,
    replay,
    turns,
)
from benchmarks.world.resumed import resumed as resumed_worlds
from benchmarks.world.retesting import Found, Quiet, Saved, saved
from benchmarks.world.vantages import Nature, Settlement, settled
from monitor.detection.events.confidence import TERMS, WEIGHTS
from monitor.detection.policy import OtherHostsPolicy, Policy

POLICY = Policy()
PARTS = (
    "independent",
    "cost",
    "path",
    "live",
    "replay",
    "delays",
    "nights",
    "lockstep",
    "parts",
    "alarms",
    "liars",
    "strangers",
    "fleets",
    "worlds",
    "ends",
)
SIZES = (3, 3, 5)
LIAR_SIZES = (5, 5)
SHARE_LYING = 0.4
WORLD_DAYS = 122
"""So many days are counted of each seed: a third of a year."""
STEADY = replace(RATES, online_day=1.0, online_night=1.0)
"""For delays N is the number of vantages that are on."""
CHURN = replace(RATES, online_day=1.0, online_night=0.35)
TRIES_A_WORLD = 15
NIGHTS_A_WORLD = 3
"""Few, because in one world always the same vantages are off."""
FIT_SEEDS = (101, 102, 103)
WORLD_SEEDS = 2
"""So many worlds of each kind are drawn."""
FAST, SLOW = 60_000, 300_000
LIVE_MINUTES = 30
"""The default interval: in each minute another part of the fleet of `live` measures."""
TURNS = (300, 900, 1800, 3600)
"""Intervals in seconds at which the vantages of a network take turns."""
TURNS_BLOCKS = [
    replace(each, horizon_hours=4) for each in (blocks.FULL, blocks.BLACKHOLE, blocks.PEERING)
]
USUAL_INTERVAL = 1800
Result = TypeVar("Result")
TurnsJob = tuple[int, int, int, int | None]
"""Interval in seconds, vantages, seed, and how many other services are blocked for probes with
traffic budgets (None for probes without)."""
Job = tuple[str, list[Settlement], list[Scenario], int, int, int, Rates, Policy]
BRIEF_HOURS = 7
"""With `--brief` blocks are followed for so long."""
BLIND = Policy(other_hosts=OtherHostsPolicy(others_min=0, others_per_mille=10**6))
"""Confirms without asking whether other hosts fail beside the target."""


def watched(job: tuple[list[Settlement], int]) -> Tally:
    networks, seed = job
    return watch(networks, seed=seed, interval=SLOW, days=WORLD_DAYS, policy=POLICY)


def delayed(job: Job) -> tuple[str, dict[str, Delays]]:
    title, networks, scenarios, seed, interval, tries, rates, policy = job
    return title, tried(
        networks, scenarios, seed=seed, interval=interval, tries=tries, policy=policy, rates=rates
    )


def delay_jobs(
    seed: int, tries: int, policy: Policy, *, liars: bool = False, brief: bool = False
) -> list[Job]:
    """What delays are measured of, in pieces of one world each."""
    short = [replace(each, horizon_hours=4) for each in (blocks.FULL, blocks.BLACKHOLE)]
    partial = [blocks.STRONG, blocks.HALF, blocks.HALF_BARE]
    slow = [blocks.FULL, blocks.BLACKHOLE, *partial, blocks.TENTH, blocks.RAMP]
    plans: list[tuple[str, list[Settlement], list[Scenario], int, Rates]]
    if liars:
        plans = [
            (
                f"N = {size}, {lie}",
                town(size, liars=n, lie=lie),
                [*short, blocks.HALF],
                SLOW,
                STEADY,
            )
            for size in (5, 10)
            for n, lie in (
                (0, Nature.ALWAYS_OK),
                (round(size * SHARE_LYING), Nature.ALWAYS_FAIL),
                (round(size * SHARE_LYING), Nature.ALWAYS_OK),
            )
        ]
        plans = [(t if n[0].liars else t.split(",")[0], n, s, i, r) for t, n, s, i, r in plans]
    elif brief:
        few = [
            replace(each, horizon_hours=BRIEF_HOURS)
            for each in (blocks.FULL, blocks.BLACKHOLE, blocks.HALF)
        ]
        plans = [(f"N = {n}, 300 s", town(n), few, SLOW, STEADY) for n in (3, 5, 10)]
    else:
        plans = [(f"N = {n}, 300 s", town(n), slow, SLOW, STEADY) for n in (3, 5, 10)]
        plans += [(f"N = {n}, 60 s", town(n), short, FAST, STEADY) for n in (3, 5)]
        plans += [("N = 5, 300 s, 35 to 100 % on", town(5), short, SLOW, CHURN)]
    worlds = max(1, round(tries / TRIES_A_WORLD))
    return [
        (title, networks, scenarios, seed + world, interval, TRIES_A_WORLD, rates, policy)
        for title, networks, scenarios, interval, rates in plans
        for world in range(worlds)
    ]


def taking_turns(job: TurnsJob) -> Found:
    interval, size, seed, blocked = job
    return saved(
        town(size),
        TURNS_BLOCKS,
        seed=seed,
        tries=TRIES_A_WORLD,
        policy=POLICY,
        interval=interval * 1000,
        rates=STEADY,
        blocked=blocked,
    )


def slept(job: nights.Job) -> Sequence[nights.Night]:
    return nights.tried(job, POLICY, STEADY)


def nights_jobs(
    sizes: Sequence[int] | None, intervals: Sequence[int] | None, seed: int, tries: int
) -> list[nights.Job]:
    """Which nights are tried, in pieces of one world each."""
    return [
        (interval, size, world, min(tries, NIGHTS_A_WORLD), asleep)
        for interval in intervals or (USUAL_INTERVAL,)
        for size in sizes or (3, 5, 10)
        for asleep in nights.ASLEEP
        for world in range(seed, seed + max(1, round(tries / NIGHTS_A_WORLD)))
    ]


def resumed(
    jobs: Sequence[TurnsJob], every: Callable[..., Iterable[Found]], into: Path | None
) -> Iterator[tuple[TurnsJob, Found]]:
    """The results of jobs, with progress; those in the file are taken from there, the others are
    added to it."""
    known: dict[TurnsJob, Found] = {}
    if into is not None and into.exists():
        for line in into.read_text().splitlines():
            read = json.loads(line)
            tries = {name: Saved(**some) for name, some in read["tries"].items()}
            known[tuple(read["job"])] = Found(tries, Quiet(**read["quiet"]))
    left, began = [job for job in jobs if job not in known], time.monotonic()
    yield from ((job, known[job]) for job in jobs if job in known)
    for number, (job, found) in enumerate(zip(left, every(taking_turns, left), strict=True), 1):
        if into is not None:
            with into.open("a") as file:
                file.write(json.dumps({"job": job, **asdict(found)}) + "\n")
        interval, size, seed, *_ = job
        print(
            f"{number} of {len(left)}: {interval} s, N = {size}, seed {seed}, after "
            f"{time.monotonic() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        yield job, found


def divided(job: tuple[int, int, int]) -> tuple[tuple[int, int], Mapping[str, Parts]]:
    size, behind, seed = job
    return (size, behind), parted(
        size, behind, seed=seed, tries=TRIES_A_WORLD, policy=POLICY, rates=STEADY
    )


def stranger(plan: crowd.Plan) -> tuple[str, crowd.Outcomes]:
    return crowd.tried(plan, POLICY, STEADY)


def fleet(job: tuple[int, int, int, int]) -> tuple[str, crowd.Outcomes]:
    size, countries, tries, seed = job
    some = crowd.fleet(size, countries, tries=tries, seed=seed, policy=POLICY)
    return f"{size:,} vantages in {countries} countries", some


def lifted(job: ends.Job) -> tuple[ends.Place, Mapping[str, ends.Ends]]:
    interval, size, *_ = job
    return (size, interval), ends.ended(job, POLICY, STEADY)


def ends_jobs(
    sizes: Sequence[int] | None,
    intervals: Sequence[int] | None,
    seed: int,
    tries: int,
    new: int,
) -> list[ends.Job]:
    """Which ends of blocks are measured, in pieces of one world each."""
    places: Sequence[ends.Place] = ends.PLACES
    if sizes or intervals:
        usual = sorted({size for size, _ in ends.PLACES})
        places = [(n, every) for n in sizes or usual for every in intervals or (USUAL_INTERVAL,)]
    worlds_of_ends = range(seed, seed + max(1, round(tries / TRIES_A_WORLD)))
    return [
        (interval, size, world, min(tries, TRIES_A_WORLD), new)
        for world in worlds_of_ends
        for size, interval in places
    ]


def with_progress(
    jobs: Sequence[ends.Job] | Sequence[nights.Job], results: Iterable[Result]
) -> Iterator[Result]:
    """The results of jobs as they come, each with a line."""
    began = time.monotonic()
    for number, (job, result) in enumerate(zip(jobs, results, strict=True), 1):
        interval, size, seed, *_ = job
        print(
            f"{number} of {len(jobs)}: N = {size}, {interval} s, seed {seed}, after "
            f"{time.monotonic() - began:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        yield result


def parts_of(
    found: Sequence[tuple[tuple[int, int], Mapping[str, Parts]]],
) -> Mapping[tuple[int, int], Mapping[str, Parts]]:
    """Parts of networks by size and how many are behind the box, of all worlds together."""
    whole: dict[tuple[int, int], dict[str, Parts]] = {}
    for which, each in found:
        for name, some in each.items():
            whole.setdefault(which, {}).setdefault(name, Parts()).add(some)
    return whole


def gathered(found: Sequence[tuple[str, dict[str, Delays]]]) -> dict[str, dict[str, Delays]]:
    """Delays by title and scenario, of all worlds together."""
    tables: dict[str, dict[str, Delays]] = {}
    for title, each in found:
        for scenario, some in each.items():
            tables.setdefault(title, {}).setdefault(scenario, Delays()).add(some)
    return tables


def added(tallies: Sequence[Tally]) -> Tally:
    """All worlds' counts together."""
    whole = Tally()
    for tally in tallies:
        whole.add(tally)
    return whole


def quiet_worlds(
    networks: list[Settlement], years: float, seed: int
) -> list[tuple[list[Settlement], int]]:
    """So many seeds that at least `years` series-years are counted."""
    count = max(1, -(-int(years * 365) // (WORLD_DAYS * len(networks))))
    return [(networks, seed + n) for n in range(count)]


def main() -> int:
    """0, also when a goal is missed; 1 with `--strict` when one of worlds, ends or nights is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--years", type=float, default=36, help="series-years without a block")
    parser.add_argument("--tries", type=int, default=60, help="blocks a scenario (about)")
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part")
    parser.add_argument(
        "--new", type=int, default=0, help="ends: so many vantages of the network are known briefly"
    )
    parser.add_argument(
        "--vantages",
        action="append",
        type=int,
        help="of the fleet of path, live and replay; of the network of delays, nights and ends",
    )
    parser.add_argument(
        "--brief", action="store_true", help="lockstep: three kinds of blocks at 300 s alone"
    )
    parser.add_argument(
        "--blind", action="store_true", help="lockstep: without the evidence of other hosts"
    )
    parser.add_argument(
        "--interval", action="append", type=int, help="seconds, of delays, nights and ends"
    )
    parser.add_argument(
        "--blocked",
        type=int,
        metavar="N",
        help="delays: probes have the default traffic budget, and N other services are blocked",
    )
    parser.add_argument(
        "--into", type=Path, help="file for results of delays or worlds, to resume from"
    )
    parser.add_argument(
        "--world", action="append", choices=worlds.NAMES, help="worlds: this one, in place of all"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=WORLD_SEEDS,
        metavar="N",
        help="worlds: so many of each kind; a bound of MOST_SURE needs eight or more",
    )
    parser.add_argument(
        "--quiet",
        type=int,
        default=WORLD_SEEDS,
        metavar="N",
        help="worlds: N worlds for false pages",
    )
    parser.add_argument(
        "--fit", action="store_true", help="worlds: fit the weights of the confidence anew first"
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="exit status 1 if a goal of worlds, ends or nights fails",
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--seed", type=int, default=1001, help="the first seed")
    given = parser.parse_args()
    parts, seed, goals = given.only or PARTS, given.seed, Goals()
    missed: list[str] = []
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    print(f"seeds from {seed}; rates:")
    for name, value in asdict(RATES).items():
        print(f"  {name} = {value}")
    with ProcessPoolExecutor(given.jobs) as pool:

        def every(work: Callable[..., object], jobs: Sequence[object]) -> list:  # type: ignore[type-arg]
            return list(pool.map(work, jobs))

        if "independent" in parts:
            independent(POLICY, seed, goals)
        if "cost" in parts:
            costs(POLICY, goals)
        if "path" in parts:
            for vantages in given.vantages or (200,):
                path(on_sqlite(Rounds(vantages, START), 3, POLICY), goals)
        if "live" in parts:
            for vantages in given.vantages or (60,):
                spread = Rounds(vantages, START, LIVE_MINUTES * FAST, turns=LIVE_MINUTES)
                path(on_sqlite(spread, 1, POLICY), goals)
        if "replay" in parts:
            for vantages in given.vantages or (200,):
                replay(replayed(vantages, 8), goals)
        if "delays" in parts:
            tried_in = range(seed, seed + max(1, round(given.tries / TRIES_A_WORLD)))
            jobs = [
                (interval, size, each, given.blocked)
                for interval in given.interval or TURNS
                for size in given.vantages or (3, 5, 10)
                for each in tried_in
            ]
            turns(resumed(jobs, pool.map, given.into), goals)
        if "nights" in parts:
            plan = nights_jobs(given.vantages, given.interval, seed, given.tries)
            found = with_progress(plan, pool.map(slept, plan))
            lines, late = nights.table(night for world in found for night in world)
            print("\n" + "\n".join(lines))
            goals.lines += late
            missed += late
        if "lockstep" in parts:
            plan = delay_jobs(
                seed, given.tries, BLIND if given.blind else POLICY, brief=given.brief
            )
            found = every(delayed, plan)
            lockstep("Delays when all measure at once", gathered(found), goals)
        if "parts" in parts:
            tried_in = range(seed, seed + max(1, round(given.tries / TRIES_A_WORLD)))
            thirds = [(size, size // 3, each) for size in (6, 10) for each in tried_in]
            print("\n" + "\n".join(table(parts_of(every(divided, thirds)))))
        if "strangers" in parts:
            plans = [
                (*plan, signature, each, TRIES_A_WORLD)
                for signature in (True, False)
                for plan in crowd.PLANS
                for each in range(seed, seed + max(1, round(given.tries / TRIES_A_WORLD)))
            ]
            title = "Strangers that begin to lie together; rounds of 300 s"
            print("\n" + "\n".join(crowd.table(title, every(stranger, plans))))
        if "fleets" in parts:
            sizes = [(*each, max(4, min(40, 20_000 // each[0])), seed) for each in crowd.FLEETS]
            title = "A full block of one network with signature, 2 % of all vantages failing"
            print("\n" + "\n".join(crowd.table(title, every(fleet, sizes))))
        if "worlds" in parts:
            names, by = given.world or worlds.NAMES, WEIGHTS
            played = resumed_worlds(pool.map, given.into)
            if given.fit:
                kinds = given.world or worlds.FITTED
                fit = worlds.gathered(played, kinds, FIT_SEEDS, given.tries)
                by = worlds.fitted(fit)
                print(f"\nfitted to seeds {FIT_SEEDS}; terms: confirmed, likely, unconfirmed")
                for name, *row in zip(("tier", *TERMS), *by.values(), strict=True):
                    print(f'    "{name}": {tuple(row)},')
            judged = range(seed, seed + given.seeds)
            quiet = range(seed, seed + max(given.seeds, given.quiet))
            found = worlds.gathered(played, names, judged, given.tries, quiet)
            before = len(goals.lines)
            worlds.told(found, goals, by)
            missed = [line for line in goals.lines[before:] if line.startswith("MISSED")]
        if "ends" in parts:
            plan = ends_jobs(given.vantages, given.interval, seed, given.tries, given.new)
            lines, late = ends.table(ends.gathered(with_progress(plan, pool.map(lifted, plan))))
            print("\n" + "\n".join(lines))
            goals.lines += late
            missed += late
        honest = None
        if "alarms" in parts:
            honest = added(every(watched, quiet_worlds(settled(SIZES), given.years, seed)))
            alarms("False alarms", honest, goals)
        if "liars" in parts:
            lying = settled(LIAR_SIZES, share_lying=SHARE_LYING)
            tally = added(every(watched, quiet_worlds(lying, given.years / 3, seed)))
            alarms(f"False alarms, {SHARE_LYING:.0%} always-fail", tally, Goals(quiet=True))
            plan = delay_jobs(seed, given.tries, POLICY, liars=True)
            lockstep("Delays with liars", gathered(every(delayed, plan)), goals, liars=True)
            if honest is not None:
                before = honest.alarms[5, SIGNATURE] + honest.alarms[5, BARE]
                after = tally.alarms[5, SIGNATURE] + tally.alarms[5, BARE]
                goals.liars(before, honest.series_years(5), after, tally.series_years(5))
    print("\nGoals")
    for line in goals.lines:
        print(f"  {line}")
    return int(given.strict and bool(missed))


if __name__ == "__main__":
    sys.exit(main())
