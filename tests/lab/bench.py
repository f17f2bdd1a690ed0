"""Play every case over several seeds (three without arguments) and print what was seen, as root:
`python -m tests.lab.bench [--only PATTERN]... [--repeats N] [--first] [--whole | --retests]
[SEED...]`.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab.cases import BY_NAME, CASES
from tests.lab.confusion import Confusion
from tests.lab.plan import draw
from tests.lab.retesting import CONFIRMED, LIKELY, WITH, WITHOUT, minutes, play_both
from tests.lab.run import play
from tests.lab.verdicts import faults
from tests.lab.whole import play_whole, told
from tests.lab.world import ROOT

AT_ONCE = 10
"""Laboratories side by side: they mostly wait for timeouts."""


def bench(seed: int, wanted: Collection[str], seen: Confusion, lean: bool) -> int:
    """Play the wanted cases of one seed, print a line each, return how many failed."""
    began, failed = time.monotonic(), 0
    order = [(n, case) for n, case in enumerate(draw(seed).order) if case in wanted]
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [pool.submit(play, seed, n, Path(root) / str(n), lean=lean) for n, _ in order]
        for (_, case), job in zip(order, jobs, strict=True):
            took = 0.0
            try:
                record = job.result()
                took, wrong = record["seconds"]["whole"], faults(BY_NAME[case], record)
            except (RuntimeError, subprocess.SubprocessError) as error:
                record, wrong = {}, [str(error)]
            failed += bool(wrong)
            seen.add(BY_NAME[case], record)
            print(f"seed {seed}  {case:26} {took:6.1f} s  {'; '.join(wrong) or 'ok'}", flush=True)
    print(f"seed {seed}  {len(order)} cases in {time.monotonic() - began:.1f} s", flush=True)
    return failed


def whole(seed: int) -> int:
    """The whole way once, with three techniques at once; 1 when it failed."""
    with tempfile.TemporaryDirectory() as root:
        try:
            record = play_whole(seed, Path(root) / "lab")
        except (RuntimeError, subprocess.SubprocessError) as error:
            print(f"seed {seed}  the whole way: {error}", flush=True)
            return 1
    wrong = 0
    for technique, victim in sorted(record["victims"].items()):
        pages, ends = told(record, victim)
        well = [page["annotations"]["technique"] for page in pages] == [technique] and len(
            ends
        ) == 1
        wrong += not well
        print(
            f"seed {seed}  the whole way, {technique:14} pages {len(pages)}, closings {len(ends)}  "
            f"{'ok' if well else (pages, ends)}",
            flush=True,
        )
    print(f"seed {seed}  seconds {record['seconds']}", flush=True)
    return int(wrong > 0)


def retests(seed: int) -> int:
    """The same block with retests and without, and what they save; 1 when that is nothing until
    confirmed. Likely it may be in the first round, before anybody is asked again."""
    with tempfile.TemporaryDirectory() as root:
        try:
            played = play_both(seed, Path(root))
        except (RuntimeError, subprocess.SubprocessError) as error:
            print(f"seed {seed}  retests: {error}", flush=True)
            return 1
    print(f"seed {seed}  minutes at pace 1, from the beginning of the first round that failed")
    for how in (WITHOUT, WITH):
        record = played[how]
        asked = ", ".join(sorted({place for place, _ in record["asked"]})) or "nobody"
        print(
            f"seed {seed}  {how:8} retests  likely {minutes(record, LIKELY):5.1f}  "
            f"confirmed {minutes(record, CONFIRMED):5.1f}  asked {len(record['asked'])} times: "
            f"{asked}  ({record['seconds']} s)"
        )
    saved = {
        tier: minutes(played[WITHOUT], tier) - minutes(played[WITH], tier)
        for tier in (LIKELY, CONFIRMED)
    }
    print(f"seed {seed}  saved             likely {saved[LIKELY]:5.1f}  confirmed "
          f"{saved[CONFIRMED]:5.1f}", flush=True)  # fmt: skip
    return int(saved[CONFIRMED] <= 0)


def commit() -> str:
    """The source tree's commit, with a mark when files differ from it."""
    shown = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return shown.stdout.strip() or "unknown"


def main() -> int:
    """1 when a case failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", action="store_true", help="the first twelve cases alone")
    parser.add_argument("--more", action="store_true", help=argparse.SUPPRESS)  # all, as ever
    parser.add_argument("--only", action="append", help="only this case, or a pattern (benign.*)")
    parser.add_argument("--repeats", type=int, default=1, help="so many seeds, from each seed on")
    parser.add_argument(
        "--lean", action="store_true", help="the vantage measures as a daemon does by default"
    )
    parser.add_argument(
        "--whole", action="store_true", help="the whole way to the webhook and back, in its place"
    )
    parser.add_argument(
        "--retests", action="store_true", help="what retests on suspicion save, in their place"
    )
    parser.add_argument("seeds", nargs="*", type=int, default=[1, 2, 3])
    given = parser.parse_args()
    given.seeds = [seed + n for seed in given.seeds for n in range(given.repeats)]
    for pattern in given.only or ():
        if not fnmatch.filter(BY_NAME, pattern):
            parser.error(f"no case {pattern}")
    print(
        f"commit {commit()}, seeds {', '.join(map(str, given.seeds))}, "
        f"Python {platform.python_version()}, {os.cpu_count()} processors",
        flush=True,
    )
    if given.whole:
        return min(1, sum(whole(seed) for seed in given.seeds))
    if given.retests:
        return min(1, sum(retests(seed) for seed in given.seeds))
    only = [name for pattern in given.only or () for name in fnmatch.filter(BY_NAME, pattern)]
    wanted = only or ([case.name for case in CASES] if given.first else BY_NAME)
    seen = Confusion()
    failed = sum(bench(seed, wanted, seen, given.lean) for seed in given.seeds)
    played = len(given.seeds) * len(wanted)
    print(f"\nRows: promised. Columns: said, by the number of the row.\n\n{seen.matrix}\n")
    print("\n".join(seen.figures))
    print(f"{played - failed} of {played} cases as promised")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
