# SPDX-License-Identifier: Apache-2.0
"""Bytes of strangers at each boundary, nearly right: `./scripts/bench fuzz`, ten minutes in all.

An input is kept in `tests/fuzz/corpus` when something new becomes of it (`--keep`), and always when
it fails: then a test repeats it at each run. Exit status 1 when something failed.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.fuzz.boundaries import BOUNDARIES, CORPUS, Boundary
from tests.fuzz.mutation import mutated

SLOW_SECONDS = 1.0
"""An input that takes longer fails: one of a megabyte takes a tenth of it."""
MOST_KEPT = 20
"""Inputs that are kept for a boundary: the test repeats them all."""


def fuzz(boundary: Boundary, seconds: float, seed: int, keep: bool) -> tuple[int, int, list[str]]:
    """Try inputs for some time; return how many, how many outcomes there were, and failures."""
    rng = random.Random(f"{seed} {boundary.name}")
    kept = [path.read_bytes() for path in boundary.corpus()] or [b""]
    told, failures, tries = set[str](), list[str](), 0
    for given in kept:
        told.add(boundary.outcome(given))
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        given = mutated(rng, kept)
        tries += 1
        began = time.process_time()
        try:
            outcome = boundary.outcome(given)
        except Exception as error:  # whatever it is, it is a fault of ours
            where = traceback.extract_tb(error.__traceback__)[-1]
            failure = f"{type(error).__name__} at {where.filename}:{where.lineno}"
            if failure not in failures:
                failures.append(failure)
                print(f"  {boundary.name}: {failure}: {error}"[:300], flush=True)
                _keep(boundary, given)
            continue
        if time.process_time() - began > SLOW_SECONDS:
            failures.append(f"slow: {_keep(boundary, given)}")
        if outcome not in told:
            told.add(outcome)
            kept.append(given)
            if keep and len(list(boundary.corpus())) < MOST_KEPT:
                _keep(boundary, given)
    return tries, len(told), failures


def _keep(boundary: Boundary, given: bytes) -> Path:
    path = CORPUS / boundary.name / f"{hashlib.sha256(given).hexdigest()[:12]}.bin"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(given)
    return path


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="all boundaries together")
    parser.add_argument("--only", action="append", choices=[each.name for each in BOUNDARIES])
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="keep what leads to something new")
    given = parser.parse_args()
    chosen = [each for each in BOUNDARIES if not given.only or each.name in given.only]
    failed = 0
    print(f"seed {given.seed}; inputs, different outcomes, failures")
    for boundary in chosen:
        share = given.seconds / len(chosen)
        tries, outcomes, failures = fuzz(boundary, share, given.seed, given.keep)
        print(f"{boundary.name:14}{tries:10,}{outcomes:6}{len(failures):4}", flush=True)
        failed += len(failures)
    print("reached: nothing failed" if not failed else f"MISSED: {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
