"""How many rounds a case takes, and the start of `tests.lab.rounds` for them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.lab.cases import Case
    from tests.lab.world import World

TURNS = 4
"""Lean rounds in which each of two addresses of each family has had its turn."""
ONCE = "trap.stall"
"""What happens once must meet the family that is dialled: one round, in which that is IPv4."""


def lean_rounds(case: Case, number: int) -> tuple[int, int]:
    """How many rounds of the lean profile a case takes, and the turn of the first. Where a part of
    a service is blocked, every address must have had its turn. `number` is the case's place among
    all, so that either family is the first."""
    if case.name == ONCE:
        return 1, 0
    return (TURNS if case.part else case.rounds), number % TURNS


def measure_rounds(
    world: World, into: Path, resolver: str, rounds: int, turn: int | None = None, clock: str = ""
) -> subprocess.Popen[str]:
    """Start the rounds in the vantage's namespace, writing the last one to a file."""
    arguments = [
        sys.executable, "-m", "tests.lab.rounds", str(world.catalogue), f"{resolver}:53",
        str(rounds), *([] if turn is None else [str(turn)]),
    ]  # fmt: skip
    return world.record("probe", arguments, into, clock=clock)
