# SPDX-License-Identifier: Apache-2.0
"""Calibration of the confidence of events in a simulation: `./scripts/bench confidence [--fit]
[--picture FILE] [--jobs N]`.

Every open event of a country is evaluated at each of its changes, and once per round. The truth is
whether the service was blocked there in that round. The fit and the evaluation use different seeds.
With `--fit` the weights are fitted again and printed as in
monitor/detection/sequence/confidence.py; without, the weights there are evaluated.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.world.calibration import Score, Weights, score, weights
from benchmarks.world.rates import BLOCKING, PEERING_HASTE, RATES
from benchmarks.world.reliability_diagram import reliability
from benchmarks.world.statements import Counts, false_ones, true_ones
from monitor.detection.model import Tier
from monitor.detection.policy import Policy
from monitor.detection.sequence.confidence import TERMS, WEIGHTS

POLICY = Policy()
FIT_SEEDS, JUDGED_SEEDS = (1, 2, 3), (4, 5, 6)
DAYS = 122
"""Of a world without blocks."""
TRIES = 40
"""Blocks in a world with some."""
ERROR, BRIER = 0.02, 0.03
RISEN = (Tier.LIKELY, Tier.CONFIRMED)


def played(job: tuple[str, int]) -> tuple[str, Counts]:
    """One world."""
    kind, seed = job
    if kind == "without":
        return kind, false_ones(seed, DAYS, POLICY)
    return kind, true_ones(seed, TRIES, POLICY)


def gathered(pool: ProcessPoolExecutor, seeds: tuple[int, ...]) -> Counts:
    """What is said a year and country, the mean of all worlds of each kind."""
    whole = Counts()
    jobs = [(kind, seed) for seed in seeds for kind in ("without", "with")]
    for _, counts in pool.map(played, jobs):
        whole.add(counts, 1 / len(seeds))
    return whole


def told(title: str, found: Score) -> None:
    """Print a score and its bins."""
    print(
        f"\n{title}: {found.weight:.1f} a year and country, calibration error {found.error:.4f}, "
        f"Brier {found.brier:.4f}"
    )
    print(f"  {'how many':>10}{'said':>9}{'true':>9}")
    for each in found.bins:
        print(f"  {each.weight:10.2f}{each.said:9.3f}{each.true:9.3f}")


def judged(counts: Counts, by: Weights, picture: str) -> None:
    """Print how well it is calibrated, and the goals."""
    every = {
        "each thing said counts once": score(counts.said, by),
        "each round counts": score(counts.stands, by),
        "likely and confirmed events, each thing said": score(counts.said, by, RISEN),
        "likely and confirmed events, each round": score(counts.stands, by, RISEN),
        "confirmed events, each thing said": score(counts.said, by, (Tier.CONFIRMED,)),
        "confirmed events, each round": score(counts.stands, by, (Tier.CONFIRMED,)),
    }
    for title, found in every.items():
        told(title, found)
    print("\nGoals")
    for title, found in every.items():
        for name, value, most in (
            ("calibration error", found.error, ERROR),
            ("Brier", found.brier, BRIER),
        ):
            word = "reached" if value <= most else "MISSED "
            print(f"  {word}  {title}: {name} {value:.4f}, at most {most}")
    if picture:
        shown = {
            "at each change": score(counts.said, by, RISEN),
            "each round": score(counts.stands, by, RISEN),
        }
        title = "Confidence of likely and confirmed events"
        Path(picture).write_text(reliability(shown, title), encoding="utf-8")


def main() -> int:
    """0, also when a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="fit the weights anew first")
    parser.add_argument("--picture", default="", help="write the reliability picture here (SVG)")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for kept in (RATES, BLOCKING):
        for name, value in asdict(kept).items():
            print(f"  {name} = {value}")
    print(
        f"  peering faults of the worlds without blocks: x{PEERING_HASTE}, counted as so much less"
    )
    with ProcessPoolExecutor(given.jobs) as pool:
        by: Weights = WEIGHTS
        if given.fit:
            print(f"\nfitted to seeds {FIT_SEEDS}; terms: tier, {', '.join(TERMS)}")
            by = weights(gathered(pool, FIT_SEEDS).said)
            for name, *values in zip(("tier", *TERMS), *by.values(), strict=True):
                print(f'    "{name}": {tuple(values)},')
        print(f"\njudged on seeds {JUDGED_SEEDS}")
        judged(gathered(pool, JUDGED_SEEDS), by, given.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
