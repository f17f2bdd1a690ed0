# SPDX-License-Identifier: Apache-2.0
"""Whether a probe is heard when it matters: `./scripts/bench heard [--strict] [--only PART]
[--scenario NAME]... [--hours H] [--at-once N] [--resume FILE]`.

Ways: what is taken while a censor closes ways to the monitor arrives once, and soon. Traffic: days
of a volunteer, counted at the interface. Memory: after ten rounds. Everything runs in network
namespaces with stand-ins for the world; nothing outside this machine is contacted. Needs root. See
docs/evaluation/heard.md.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.hearing import memory, traffic, ways
from benchmarks.hearing.scenarios import SCENARIOS, Scenario
from benchmarks.probing import whole

PARTS = ("ways", "traffic", "memory")


def main() -> int:
    """Run the parts asked for; with `--strict` the exit status tells whether a goal is missed."""
    parser = argparse.ArgumentParser(prog="bench heard", description=__doc__.splitlines()[0])
    parser.add_argument("--strict", action="store_true", help="exit 1 where a goal is missed")
    parser.add_argument("--only", action="append", choices=PARTS, help="only this part")
    parser.add_argument("--scenario", action="append", choices=[one.name for one in SCENARIOS])
    parser.add_argument("--hours", type=float, help="of the probe's time, for each scenario")
    parser.add_argument(
        "--at-once",
        type=int,
        default=6,
        help="scenarios side by side (6), beside those that take time alone",
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help="add each scenario that was played to this file, and do not play it again",
    )
    parser.add_argument(
        "--python", default=sys.executable, help="interpreter of the probe (that of the image)"
    )
    given = parser.parse_args()
    missed = asyncio.run(_measure(given))
    print(f"{missed} missed")
    return int(given.strict and missed > 0)


async def _measure(given: argparse.Namespace) -> int:
    """Print a line for each figure; returns how many are not as they should be. The ways take time
    and hardly any processor, so they are played beside the traffic."""
    parts = given.only or PARTS
    side_by_side = [
        part(given) for name, part in (("ways", _ways), ("traffic", _traffic)) if name in parts
    ]
    missed = sum(await asyncio.gather(*side_by_side))
    return missed + (await _memory(given) if "memory" in parts else 0)


async def _ways(given: argparse.Namespace) -> int:
    stages = await ways.run(tuple(ways.URLS), given.python)
    for heard in stages:
        print(heard.line(), flush=True)
    return sum(not heard.reached for heard in stages)


async def _memory(given: argparse.Namespace) -> int:
    missed = 0
    for hidden in ("", whole.HIDDEN):
        resident = await memory.run(hidden, given.python)
        print(resident.line(), flush=True)
        missed += not resident.reached
    return missed


async def _traffic(given: argparse.Namespace) -> int:
    places, missed = asyncio.Semaphore(given.at_once), 0
    played = traffic.played(given.resume) if given.resume else {}

    async def play(scenario: Scenario) -> None:
        nonlocal missed
        day = played.get(scenario.name)
        if day is None:
            async with contextlib.nullcontext() if scenario.waits else places:
                day = await traffic.run(scenario, whole.HIDDEN, given.python)
            if given.resume:
                traffic.keep(given.resume, day)
        print(day.line(scenario), flush=True)
        missed += bool(day.misses(scenario))

    async with asyncio.TaskGroup() as group:
        for scenario in SCENARIOS:
            if not given.scenario or scenario.name in given.scenario:
                hours = given.hours or scenario.hours
                group.create_task(play(replace(scenario, hours=hours)))
    return missed


if __name__ == "__main__":
    sys.exit(main())
