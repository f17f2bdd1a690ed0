"""Play one case in one laboratory and write down what was measured and judged.

`python -m tests.lab.run SEED NUMBER FOLDER [--lean]`, as root in namespaces of its own (see
`play`). The case is known here, by its place in the seed's order, and to nobody who measures.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.lab.apart import record_of, servers_log, settle
from tests.lab.cases import BY_NAME, Case
from tests.lab.plan import Plan, draw
from tests.lab.starting_rounds import lean_rounds, measure_rounds
from tests.lab.trouble import disturb, origin, twist
from tests.lab.world import World, command

LIMIT_SECONDS = 400
"""For a hang alone: laboratories side by side may share one busy processor."""


def play(seed: int, number: int, folder: Path, *, lean: bool = False) -> dict[str, Any]:
    """Play a case in a child process with namespaces of its own; return its record. `lean`: the
    vantage measures as a daemon at its default profile does (`tests.lab.rounds`)."""
    words = (str(seed), str(number), str(folder), *["--lean"] * lean)
    return record_of("tests.lab.run", folder, *words, seconds=LIMIT_SECONDS + 30)


def main(seed: int, number: int, folder: Path, lean: bool) -> None:
    """Build, disturb, measure from both sides at once, judge, write down."""
    settle()
    began = time.monotonic()
    plan = draw(seed)
    case = plan.order[number]
    victim = plan.service(plan.victims[case])
    world = World(plan, folder)
    try:
        world.build(twist(case, victim))
        disturb(world, plan, case, victim)
        built = time.monotonic()
        promised = BY_NAME[case]
        files = {"probe": folder / "probe.jsonl", "control": folder / "control.jsonl"}
        runs = {
            "probe": _vantage(
                world,
                plan,
                promised,
                files["probe"],
                lean_rounds(promised, number) if lean else None,
            ),
            "control": world.measure("control", "control", plan.reference.v4[0], files["control"]),
        }
        codes = {space: process.wait(LIMIT_SECONDS) for space, process in runs.items()}
        measured = time.monotonic()
        if fallen := world.fallen():
            raise RuntimeError(f"{fallen}\n{servers_log(folder)}")
        with files["probe"].open("rb") as given:
            judged = subprocess.run(
                [*command("reachwatch"), "judge", "--probe", "-", "--control",
                 str(files["control"]), "--json"],
                stdin=given, capture_output=True, text=True, env=world.environment(), check=False,
            )  # fmt: skip
    finally:
        world.close()
    record = {
        "case": case,
        "victim": victim.target,
        "targets": sorted(s.target for s in plan.services),
        "origin": origin(plan, case),
        "codes": codes,
        "judge_code": judged.returncode,
        "judge_err": judged.stderr,
        "verdicts": [json.loads(line) for line in judged.stdout.splitlines()],
        "seen_by_probe": {
            "arguments": [str(a) for a in runs["probe"].args],  # type: ignore[union-attr]
            "environment": world.environment(),
            "host": platform.node(),
            "catalogue": {
                str(p.relative_to(world.catalogue)): p.read_text()
                for p in sorted(world.catalogue.rglob("*"))
                if p.is_file()
            },
        },
        "seconds": {
            "build": round(built - began, 2),
            "measure": round(measured - built, 2),
            "whole": round(time.monotonic() - began, 2),
        },
    }
    (folder / "record.json").write_text(json.dumps(record, indent=1))


def _vantage(
    world: World, plan: Plan, case: Case, into: Path, lean: tuple[int, int] | None
) -> subprocess.Popen[str]:
    """Start the vantage's measurement; `lean` are its rounds at the lean profile."""
    resolver = case.resolver or plan.resolver
    if lean is not None:
        return measure_rounds(world, into, resolver, *lean, clock=case.clock)
    if case.rounds > 1:
        return measure_rounds(world, into, resolver, case.rounds)
    return world.measure("probe", "vantage", resolver, into, clock=case.clock)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), "--lean" in sys.argv[4:])
