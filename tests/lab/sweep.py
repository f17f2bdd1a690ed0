"""How well throttling is told from mere slowness: a sweep over rates, loss and delay.

`python -m tests.lab.sweep` as root plays one small laboratory for each cell of the grid and prints
precision and recall; `./scripts/bench throttle` does the same. A cell is a kind of trouble (a name
narrowed, addresses, a frozen stream, the whole line, a slow server, none), a rate, and a line with
loss or delay. Each has its own seed, hence its own names and addresses.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.lab.apart import play_apart, settle
from tests.lab.bench import commit
from tests.lab.plan import draw
from tests.lab.run import LIMIT_SECONDS
from tests.lab.serving import Twist
from tests.lab.troubles import throttling
from tests.lab.world import World, command

AT_ONCE = 4
"""Laboratories side by side: with more, the times measured are the processors' own."""
KBIT = (160, 640, 2000)
LINES = ((0, 0), (1, 0), (3, 0), (0, 50), (0, 200), (2, 100))
"""(percent of packets lost in each direction, milliseconds of round trip)."""
PROMISED = {
    "name": "throttle.sni",
    "address": "throttle.address",
    "freeze": "throttle.freeze",
    "freeze_address": "throttle.freeze",
}
BENIGN = ("congestion", "sluggish", "nothing")


@dataclass(frozen=True)
class Cell:
    """One laboratory."""

    seed: int
    kind: str
    kbit: int
    loss: int
    delay: int

    @property
    def promised(self) -> str:
        """The technique that must be named; empty where nobody may be accused."""
        return PROMISED.get(self.kind, "")

    def __str__(self) -> str:
        return (
            f"{self.kind:14} {self.kbit:>4} kbit/s  loss {self.loss} %  delay {self.delay:>3} ms"
            f"  seed {self.seed}"
        )


def grid(first_seed: int) -> list[Cell]:
    """Every cell, in an order drawn from the seed. What has no rate of its own has one anyway."""
    cells = []
    for kind, kbit, line in itertools.product(("name", "address", "congestion"), KBIT, LINES):
        cells.append((kind, kbit, *line))
    for kind in ("freeze", "freeze_address", "sluggish", "nothing"):
        cells += [(kind, KBIT[n % len(KBIT)], *line) for n, line in enumerate(LINES)]
    seeded = [Cell(first_seed + n, *cell) for n, cell in enumerate(cells)]
    random.Random(first_seed).shuffle(seeded)
    return seeded


def play(cell: Cell, folder: Path) -> dict[str, Any]:
    """Play a cell in a child process with namespaces of its own; return the victim's verdict."""
    words = ("--cell", json.dumps(asdict(cell)), "--folder", str(folder))
    printed = play_apart("tests.lab.sweep", folder, *words, seconds=LIMIT_SECONDS + 30)
    verdict: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return verdict


def play_at_last(cell: Cell, folder: Path) -> dict[str, Any]:
    """The same, once more when a laboratory did not come about: servers start slowly under load."""
    try:
        return play(cell, folder)
    except RuntimeError:
        return play(cell, folder.with_name(f"{folder.name}-again"))


def inside(cell: Cell, folder: Path) -> dict[str, Any]:
    """Build, narrow, measure the one https service from both sides, judge."""
    settle()
    plan = draw(cell.seed)
    victim = next(s for s in plan.services if s.host.protocol == "https" and not s.others)
    world = World(plan, folder)
    try:
        world.build(Twist(sluggish=victim.id) if cell.kind == "sluggish" else Twist())
        if cell.kind not in ("sluggish", "nothing"):
            throttling.disturb(world, plan, _HOW.get(cell.kind, cell.kind), victim, cell.kbit)
        if cell.loss:
            throttling.lose(world, cell.loss)
        if cell.delay:
            throttling.hold(world, cell.delay / 1000)
        files = {"probe": folder / "probe.jsonl", "control": folder / "control.jsonl"}
        chosen = ("--target", victim.target)
        runs = [
            world.measure("probe", "vantage", plan.resolver, files["probe"], *chosen),
            world.measure("control", "control", plan.reference.v4[0], files["control"], *chosen),
        ]
        for run in runs:
            if run.wait(LIMIT_SECONDS):
                raise RuntimeError(f"a measurement ended with {run.returncode}")
        judged = subprocess.run(
            [*command("reachwatch"), "judge", "--probe", str(files["probe"]), "--control",
             str(files["control"]), "--json"],
            capture_output=True, text=True, env=world.environment(), check=True,
        )  # fmt: skip
    finally:
        world.close()
    said = [json.loads(line) for line in judged.stdout.splitlines()]
    verdict: dict[str, Any] = next(v for v in said if v["target"] == victim.target)
    return verdict | {"transfers": _transfers(files["probe"])}


_HOW = {"name": "sni"}


def _transfers(file: Path) -> list[str]:
    """What was measured, a word each, to understand a miss by."""
    words = []
    for line in file.read_text().splitlines():
        for seen in json.loads(line)["observations"]:
            if seen["step"] == "transfer":
                rate, pace = (seen.get(key, 0) // 125 for key in ("rate", "pace"))
                name = f"{seen.get('contrast', 'own')}{seen.get('turn', 0)}"
                words.append(f"{name}:{rate}/{pace} kbit/s")
    return words


def named(verdict: dict[str, Any]) -> str:
    """The technique that somebody is accused of."""
    accused = verdict["state"] in ("blocked", "impaired", "throttled")
    return str(verdict["technique"]) if accused else ""


def figures(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """Precision and recall from (promised, said), in all and of each technique."""
    counted = Counter(pairs)
    lines = []
    for title in ("throttling at all", *sorted(set(PROMISED.values()))):
        # In all: any technique stands for any other.
        hits = {title} if title in PROMISED.values() else {w for p in counted for w in p if w}
        true = sum(n for (p, s), n in counted.items() if p in hits and s in hits)
        said = sum(n for (_, s), n in counted.items() if s in hits)
        promised = sum(n for (p, _), n in counted.items() if p in hits)
        lines.append(f"{title:18} precision {_share(true, said)}  recall {_share(true, promised)}")
    return lines


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.3f} ({part} of {whole})" if whole else "-"


def sweep(cells: Sequence[Cell]) -> int:
    """Play all, print misses and figures; 1 when precision or recall is below 0.95."""
    began, pairs = time.monotonic(), []
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(AT_ONCE) as pool:
        jobs = [
            pool.submit(play_at_last, cell, Path(root) / str(n)) for n, cell in enumerate(cells)
        ]
        for cell, job in zip(cells, jobs, strict=True):
            try:
                verdict = job.result()
                said = named(verdict)
            except (RuntimeError, subprocess.SubprocessError) as error:
                said, verdict = "no verdict", {"error": str(error)}
            pairs.append((cell.promised, said))
            well = said == cell.promised
            print(f"{cell}  {'ok' if well else f'MISS {said or None} {verdict}'}", flush=True)
    print(f"\n{len(cells)} laboratories in {time.monotonic() - began:.0f} s")
    print("\n".join(figures(pairs)))
    right = sum(bool(p) and bool(s) for p, s in pairs)
    enough = 0.95
    return int(
        right < enough * sum(bool(p) for p, _ in pairs)
        or right < enough * sum(bool(s) for _, s in pairs)
    )


def main() -> int:
    """1 when the figures are not reached."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1000, help="the first seed of the grid")
    parser.add_argument("--kind", action="append", help="only this kind of trouble")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        print(json.dumps(inside(Cell(**json.loads(given.cell)), given.folder)))
        return 0
    cells = [c for c in grid(given.seed) if not given.kind or c.kind in given.kind]
    print(
        f"commit {commit()}, seeds from {given.seed}, Python {platform.python_version()}, "
        f"{os.cpu_count()} processors",
        flush=True,
    )
    return sweep(cells)


if __name__ == "__main__":
    sys.exit(main())
