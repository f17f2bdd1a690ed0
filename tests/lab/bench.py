"""Play several seeds and print what was seen, as root:
`python -m tests.lab.bench [--more] [--only CASE]... [SEED...]`.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab.cases import BY_NAME, CASES
from tests.lab.plan import draw
from tests.lab.run import play
from tests.lab.verdicts import faults

AT_ONCE = 6


def bench(seed: int, wanted: Collection[str]) -> int:
    """Play the wanted cases of one seed, print a line each, return how many failed."""
    began, failed = time.monotonic(), 0
    order = [(n, case) for n, case in enumerate(draw(seed).order) if case in wanted]
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(play, seed, n, Path(root) / str(n)) for n, _ in order]
        for (_, case), job in zip(order, jobs, strict=True):
            took = 0.0
            try:
                record = job.result()
                took, wrong = record["seconds"]["whole"], faults(BY_NAME[case], record)
            except RuntimeError as error:
                wrong = [str(error)]
            failed += bool(wrong)
            print(f"seed {seed}  {case:26} {took:6.1f} s  {'; '.join(wrong) or 'ok'}", flush=True)
    print(f"seed {seed}  {len(order)} cases in {time.monotonic() - began:.1f} s", flush=True)
    return failed


def main() -> int:
    """1 when a case failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--more", action="store_true", help="the further cases as well")
    parser.add_argument("--only", action="append", choices=list(BY_NAME), help="only this case")
    parser.add_argument("seeds", nargs="*", type=int, default=[1, 2, 3])
    given = parser.parse_args()
    wanted = given.only or (BY_NAME if given.more else [case.name for case in CASES])
    failed = sum(bench(seed, wanted) for seed in given.seeds)
    played = len(given.seeds) * len(wanted)
    print(f"{played - failed} of {played} cases as promised")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
