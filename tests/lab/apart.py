"""A laboratory in a child process with namespaces of its own, and the record that it leaves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.lab.world import ROOT

UNSHARE = (
    "unshare", "--mount", "--net", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc",
    "--propagation", "private",
)  # fmt: skip
LOG_CHARACTERS = 4000


def play_apart(module: str, folder: Path, *words: str, seconds: float) -> str:
    """Run a module with these words as a child that makes its laboratory in a new folder; return
    what it prints. Raises RuntimeError when it fails, with the end of its servers' log."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", module, *words],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{folder}: {done.stdout}\n{done.stderr}\n{servers_log(folder)}")
    return done.stdout


def record_of(module: str, folder: Path, *words: str, seconds: float) -> dict[str, Any]:
    """The record that such a child leaves in its folder."""
    play_apart(module, folder, *words, seconds=seconds)
    record: dict[str, Any] = json.loads((folder / "record.json").read_text())
    return record


def servers_log(folder: Path) -> str:
    """The end of what the servers of a laboratory said."""
    log = folder / "servers.log"
    return log.read_text(errors="replace")[-LOG_CHARACTERS:] if log.exists() else ""


def settle() -> None:
    """Inside the child: a host name and a /run of its own."""
    subprocess.run(["hostname", "laboratory"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
