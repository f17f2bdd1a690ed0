"""Play several seeds and print what was seen: `python -m tests.lab.bench [SEED...]`, as root."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab.cases import BY_NAME
from tests.lab.plan import draw
from tests.lab.run import play
from tests.lab.verdicts import faults

AT_ONCE = 6


def main(seeds: Sequence[int]) -> int:
    """Print a line a case; 1 when one failed."""
    failed = 0
    for seed in seeds:
        began = time.monotonic()
        order = draw(seed).order
        with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(AT_ONCE) as pool:
            jobs = [pool.submit(play, seed, n, Path(root) / str(n)) for n in range(len(order))]
            for case, job in zip(order, jobs, strict=True):
                record = job.result()
                wrong = faults(BY_NAME[case], record)
                failed += bool(wrong)
                took = record["seconds"]["whole"]
                print(f"seed {seed}  {case:26} {took:6.1f} s  {'; '.join(wrong) or 'ok'}")
        print(f"seed {seed}  all twelve in {time.monotonic() - began:.1f} s", flush=True)
    print(f"{len(seeds) * 12 - failed} of {len(seeds) * 12} cases as promised")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main([int(a) for a in sys.argv[1:]] or [1, 2, 3]))
