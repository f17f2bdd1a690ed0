"""SIGTERM before a daemon is ready to end in order."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.waiting import HANG_SECONDS, wait_until

SIGTERM_BIT = 1 << (signal.SIGTERM - 1)


@pytest.mark.parametrize(
    ("module", "command", "late"),
    [
        ("monitor.commands.main", ["detect"], "sqlalchemy"),
        ("monitor.commands.main", ["follow", "ooni"], "sqlalchemy"),
        (
            "probes",
            ["run", "--broker", "mqtt://127.0.0.1:9", "--state", "state"],
            "probes.daemon.agent",
        ),
    ],
)
def test_a_daemon_that_loads_its_modules_ends_in_order(
    tmp_path: Path, module: str, command: list[str], late: str
) -> None:
    with (tmp_path / "imported").open("wb") as imported:
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", module, *command],
            cwd=tmp_path,
            env={"PYTHONPATH": str(Path(__file__).parents[3])},
            stderr=imported,
        )
    try:
        wait_until(lambda: _catches_sigterm(process.pid), "a handler", pause=0.001)
        process.send_signal(signal.SIGTERM)
        assert process.wait(HANG_SECONDS) == 0
    finally:
        process.kill()
        process.wait()
    assert f" {late}\n" not in (tmp_path / "imported").read_text()


def _catches_sigterm(pid: int) -> bool:
    caught = Path(f"/proc/{pid}/status").read_text().partition("SigCgt:")[2].split()
    return bool(caught) and bool(int(caught[0], 16) & SIGTERM_BIT)
