"""A taken port is reported at once, also before there are packages."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from monitor import taken_port
from tests.world.waiting import HANG_SECONDS


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=HANG_SECONDS, check=False
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_taken_port_is_reported_before_anything_is_loaded_or_made(
    tmp_path: Path, host: str
) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as other:
        other.bind((host, 0))
        other.listen()
        place = (
            f"[{host}]:{other.getsockname()[1]}"
            if ":" in host
            else f"{host}:{other.getsockname()[1]}"
        )
        line = f"reachwatch: --http: {place} is used by another program; stop it, or choose"
        data = tmp_path / "data"
        up = run("-m", "monitor.commands.main", "up", "--http", place, "--data", str(data))
        assert (up.returncode, up.stderr.startswith(line)) == (2, True), up.stderr
        assert not data.exists()
        # Before there are packages: by the standard library alone.
        script = ("-I", "-S", taken_port.__file__, "--demo", f"--http={place}")
        early = run(*script)
        assert (early.returncode, early.stderr) == (2, up.stderr)
    free = run(*script)
    assert (free.returncode, free.stderr) == (0, "")


def test_the_last_value_counts_and_the_environment_comes_second() -> None:
    environment = {"REACHWATCH_HTTP": "127.0.0.1:1"}
    assert taken_port.requested([], {}) == taken_port.DEFAULT_HTTP
    assert taken_port.requested(["--demo"], environment) == "127.0.0.1:1"
    words = ["--http", "127.0.0.1:2", "--http=127.0.0.1:3"]
    assert taken_port.requested(words, environment) == "127.0.0.1:3"
