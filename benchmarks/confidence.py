# SPDX-License-Identifier: Apache-2.0
"""Calibration of the confidence of events, and false pages, in simulated worlds of several kinds:
`./scripts/bench confidence [--fit] [--world KIND] [--seed N] [--tries N] [--days N]
[--picture FILE]`.

Every open event of a country is evaluated at each of its changes and once per round, and once when
it is first sure enough for a page. The truth is whether the service was blocked there in that
round. The weights are fitted to some kinds of worlds and judged in others, whose parameters are
drawn from other seeds. With `--fit` the weights are fitted again and printed as in
monitor/detection/events/confidence.py; without, the weights there are evaluated. What was
simulated is kept in the directory `--keep`, so that a long run can be made in parts.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.world.calibration import Score, Sure, Weights, counted, score, sure, weights
from benchmarks.world.figures import most
from benchmarks.world.kinds import (
    BACKGROUND,
    BURSTS,
    KINDS,
    NOMINAL,
    SIGNED,
    UPSTREAM,
    WORST,
    drawn,
)
from benchmarks.world.rates import BLOCKING, RATES
from benchmarks.world.reliability_diagram import reliability
from benchmarks.world.statements import SIZES, Story, fault_ones, quiet_ones, true_ones
from monitor.detection.events.confidence import TERMS, WEIGHTS
from monitor.detection.model import Tier
from monitor.detection.policy import Policy

FIT_KINDS = (NOMINAL, BURSTS, SIGNED, UPSTREAM)
"""The weights are fitted to these; the other kinds are held out."""
FIT_SEEDS, JUDGED_SEEDS = (1, 2, 3), (11, 12)
DAYS = 61
"""Of a world without blocks and without faults of networks."""
TRIES, FAULTS_TRIED = 60, 60
"""Blocks and faults of networks, in one world each."""
COUNTRIES = 3
BLIND = Policy(others_min=0, others_per_mille=10**6)
"""Without the evidence of other hosts."""
PRIOR = replace(BLOCKING, longest_minutes=8 * 60.0)
"""Longer blocks say nothing new, and take long to simulate."""
ERROR, BRIER = 0.02, 0.03
RISEN = (Tier.LIKELY, Tier.CONFIRMED)
Job = tuple[str, int, str, int, Policy, str]
"""Kind of world, seed, part, its length (days or tries), policy, directory."""
QUIET, FAULTS, BLOCKS = "quiet", "faults", "blocks"


@dataclass(frozen=True)
class Played:
    """What was said in some worlds."""

    stories: Sequence[Story]
    quiet_years: float
    """Years of one service and country without faults of networks."""


def played(job: Job) -> list[Story]:
    """One part of one world, or what was kept of it."""
    kind, seed, part, length, policy, keep = job
    blind = " blind" if policy == BLIND else ""
    file = Path(keep) / f"{kind} {seed} {part} {length}{blind}.pickle" if keep else None
    if file is not None and file.exists():
        kept: list[Story] = pickle.loads(file.read_bytes())
        return kept
    rates = drawn(kind, seed)
    if part == QUIET:
        stories = quiet_ones(seed, length, policy, rates)
    elif part == FAULTS:
        stories = fault_ones(seed, length, policy, rates)
    else:
        stories = true_ones(seed, length, policy, rates, PRIOR)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(stories))
    return stories


def gathered(
    pool: ProcessPoolExecutor,
    kinds: Iterable[str],
    seeds: Sequence[int],
    given: argparse.Namespace,
) -> dict[str, Played]:
    """What is said a year and country by kind, the mean of all seeds. Kinds that differ only in the
    faults of networks share the worlds without them."""
    policy = BLIND if given.blind else Policy()
    parts = {
        kind: [
            (from_kind, seed, part, length, policy, given.keep)
            for from_kind, part, length, some in (
                (kind, FAULTS, given.faults, seeds),
                (BACKGROUND.get(kind, NOMINAL), BLOCKS, given.tries, seeds[: given.backgrounds]),
                (BACKGROUND.get(kind, NOMINAL), QUIET, given.days, seeds[: given.backgrounds]),
            )
            for seed in some
        ]
        for kind in kinds
    }
    jobs = list(dict.fromkeys(job for some in parts.values() for job in some))
    found = dict(zip(jobs, pool.map(played, jobs), strict=True))
    return {
        kind: Played(
            [
                replace(story, weight=story.weight / sum(job[2] == each[2] for each in some))
                for job in some
                for story in found[job]
            ],
            len(seeds[: given.backgrounds]) * given.days / 365 * COUNTRIES,
        )
        for kind, some in parts.items()
    }


def told(title: str, found: Score) -> None:
    """Print a score and its bins."""
    print(
        f"\n{title}: {found.weight:.1f} a year and country, calibration error {found.error:.4f}, "
        f"Brier {found.brier:.4f}"
    )
    print(f"  {'how many':>10}{'said':>9}{'true':>9}")
    for each in found.bins:
        print(f"  {each.weight:10.2f}{each.said:9.3f}{each.true:9.3f}")


def calibrated(stories: Sequence[Story], by: Weights, picture: str) -> None:
    """Print how well the confidence is calibrated over some worlds, and the goals."""
    once, rounds = counted(stories), counted(stories, each_round=True)
    every = {
        "each thing said counts once": score(once, by),
        "each round counts": score(rounds, by),
        "likely and confirmed events, each thing said": score(once, by, RISEN),
        "likely and confirmed events, each round": score(rounds, by, RISEN),
        "confirmed events, each thing said": score(once, by, (Tier.CONFIRMED,)),
        "confirmed events, each round": score(rounds, by, (Tier.CONFIRMED,)),
    }
    for title, found in every.items():
        told(title, found)
    print("\nGoals")
    for title, found in every.items():
        for name, value, limit in (
            ("calibration error", found.error, ERROR),
            ("Brier", found.brier, BRIER),
        ):
            word = "reached" if value <= limit else "MISSED "
            print(f"  {word}  {title}: {name} {value:.4f}, at most {limit}")
    if picture:
        shown = {
            "at each change": score(once, by, RISEN),
            "each round": score(rounds, by, RISEN),
        }
        title = "Confidence of likely and confirmed events"
        Path(picture).write_text(reliability(shown, title), encoding="utf-8")


def bound(found: Sure, these: Played) -> float:
    """Upper 95 % bound of the false pages a year and country: of the quiet worlds and of the faults
    of networks, each by itself."""
    quiet = sum(n for cause, (_, n) in found.causes.items() if not _of_networks(cause))
    of_faults = found.falses - quiet
    a_fault = max((s.weight for s in these.stories if _of_networks(s.cause)), default=0.0)
    return most(quiet) / these.quiet_years + most(of_faults) * a_fault


def _of_networks(cause: str) -> bool:
    return cause.startswith(("peering", "upstream", "national"))


def pages(every: Mapping[str, Played], by: Weights) -> None:
    """Print for each kind what share of the sure events was true, and how many false ones page."""
    print("\nEvents that were sure enough for a page (confirmed, 90 %), each counted once")
    print(
        f"  {'':22}{'true':>7}{'false':>7}{'share':>8}{'at least':>10}"
        f"{'false pages a year, service and network':>42}  {'blocks paged':>14}"
    )
    for kind, these in every.items():
        found = sure(these.stories, by)
        worst = bound(found, these)
        least = found.true / (found.true + worst)
        word = "reached" if found.share >= 0.9 else "MISSED "
        print(
            f"  {kind:22}{found.trues:7}{found.falses:7}{found.share:8.1%}{least:10.1%}"
            f"{found.false / len(SIZES):26.4f} (<= {worst / len(SIZES):7.4f})  "
            f"{found.true / BLOCKING.yearly:14.1%}  {word}"
        )
        for cause, (weight, n) in sorted(found.causes.items(), key=lambda each: -each[1][0]):
            print(f"      {weight / len(SIZES):.4f} ({n})  {cause}")
        confirmed = {
            word: sum(
                s.weight
                for s in these.stories
                if s.cause != "block" and _confirmed(s) and _signature(s) is word
            )
            / len(SIZES)
            for word in (True, False)
        }
        print(
            f"      confirmed falsely a year, service and network: {confirmed[True]:.3f} with a "
            f"signature, {confirmed[False]:.3f} without"
        )


def _confirmed(story: Story) -> bool:
    return any(tier is Tier.CONFIRMED for (tier, _), _, _ in story.said)


def _signature(story: Story) -> bool:
    first = next(values for (tier, values), _, _ in story.said if tier is Tier.CONFIRMED)
    return bool(first[TERMS.index("signatures")])


def main() -> int:
    """0, also when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="fit the weights anew first")
    parser.add_argument("--picture", default="", help="write the reliability picture here (SVG)")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument(
        "--world", action="append", choices=(*KINDS, *WORST), help="judge only this kind"
    )
    parser.add_argument("--seed", action="append", type=int, help="judge on these seeds")
    parser.add_argument("--tries", type=int, default=TRIES, help="blocks in a world")
    parser.add_argument("--faults", type=int, default=FAULTS_TRIED, help="faults in a world")
    parser.add_argument("--days", type=int, default=DAYS, help="days of a world without blocks")
    parser.add_argument(
        "--backgrounds", type=int, default=2, help="worlds of a kind without faults of networks"
    )
    parser.add_argument("--keep", default="", help="keep what was simulated in this directory")
    parser.add_argument(
        "--blind", action="store_true", help="without the evidence of other hosts, as before"
    )
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for kept in (RATES, PRIOR):
        for name, value in asdict(kept).items():
            print(f"  {name} = {value}")
    with ProcessPoolExecutor(given.jobs) as pool:
        by: Weights = WEIGHTS
        if given.fit:
            print(f"\nfitted to {', '.join(FIT_KINDS)}, seeds {FIT_SEEDS}; terms: tier, ...")
            fit = gathered(pool, FIT_KINDS, FIT_SEEDS, given)
            each = [
                replace(story, weight=story.weight / len(fit))
                for one in fit.values()
                for story in one.stories
            ]
            by = weights(counted(each, each_round=True))
            for name, *values in zip(("tier", *TERMS), *by.values(), strict=True):
                print(f'    "{name}": {tuple(values)},')
        judged = tuple(given.seed or JUDGED_SEEDS)
        print(f"\njudged on seeds {judged}; fitted kinds: {', '.join(FIT_KINDS)}")
        every = gathered(pool, given.world or KINDS, judged, given)
        pages(every, by)
        held_out = [kind for kind in every if kind not in (*FIT_KINDS, *WORST)]
        stories = [
            replace(story, weight=story.weight / max(1, len(held_out)))
            for kind in held_out
            for story in every[kind].stories
        ]
        if stories:
            print(f"\nAll held-out kinds together: {', '.join(held_out)}")
            calibrated(stories, by, given.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
