# SPDX-License-Identifier: Apache-2.0
"""Bytes of strangers at each boundary, nearly right: `./scripts/bench fuzz`, ten minutes in all.

With `--keep` an input is kept in `tests/fuzz/corpus` when it reaches lines that none before it
reached, without what it can do without; one that fails is always kept: a test repeats them at each
run. Several such commands with other boundaries (`--only`) may run beside each other. Exit status 1
when something failed.
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
from tests.fuzz.reach import Line, lines_of, shortest

SLOW_SECONDS = 1.0
"""An input that takes longer fails: one of a megabyte takes a tenth of it."""
MOST_KEPT = 40
"""Inputs that are kept for a boundary: the test repeats them all."""
TRACED = 50
"""One of so many inputs is traced, as are all of which something new becomes: it is slow."""


def fuzz(boundary: Boundary, seconds: float, seed: int, keep: bool) -> tuple[int, int, list[str]]:
    """Try inputs for some time; return how many, how many outcomes there were, and failures."""
    rng, reach = random.Random(f"{seed} {boundary.name}"), lines_of(boundary.outcome)
    kept = [path.read_bytes() for path in boundary.corpus()] or [b""]
    told = {boundary.outcome(given) for given in kept}
    reached = set[Line]().union(*map(reach, kept))
    failures, tries, ends = list[str](), 0, time.monotonic() + seconds
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
        if outcome in told and tries % TRACED:
            continue
        if new := reach(given) - reached:
            reached |= new
            given = shortest(given, new, reach)
            if keep and len(list(boundary.corpus())) < MOST_KEPT:
                _keep(boundary, given)
        if new or outcome not in told:
            kept.append(given)
        told.add(outcome)
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
    parser.add_argument("--keep", action="store_true", help="keep what reaches something new")
    given = parser.parse_args()
    chosen = [each for each in BOUNDARIES if not given.only or each.name in given.only]
    failed = 0
    print(f"seed {given.seed}; inputs, different outcomes, failures, processor seconds")
    for boundary in chosen:
        share, before = given.seconds / len(chosen), time.process_time()
        tries, outcomes, failures = fuzz(boundary, share, given.seed, given.keep)
        used = time.process_time() - before
        print(f"{boundary.name:14}{tries:10,}{outcomes:6}{len(failures):4}{used:7.0f}", flush=True)
        failed += len(failures)
    print("reached: nothing failed" if not failed else f"MISSED: {failed} failures")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
