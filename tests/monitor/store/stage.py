"""Starts and ends the processes of `actors`."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


@contextlib.contextmanager
def acting(
    role: str, *arguments: str, before: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[str]]:
    """Start a role, give its process, kill it by its pid if it still runs."""
    process = subprocess.Popen(
        [*before, sys.executable, "-m", "tests.monitor.store.actors", role, *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def line(process: subprocess.Popen[str]) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    if said := process.stdout.readline().strip():
        return said
    assert process.stderr is not None
    raise AssertionError(process.stderr.read())
