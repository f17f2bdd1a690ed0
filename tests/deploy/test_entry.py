"""The command of the probe's image, run as it is, with this Python in place of the image's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.compiled import compiled

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def entry(tmp_path: Path):  # type: ignore[no-untyped-def]
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "python3").symlink_to(sys.executable)
    state = tmp_path / "state"
    state.mkdir()

    def start(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join([str(ROOT), *(p for p in sys.path if "packages" in p)]),
            "PYTHONDONTWRITEBYTECODE": "1",
            **compiled(),
            "HOME": str(state),
            "REACHPROBE_STATE": str(state),
            **variables,
        }
        return subprocess.run(
            [str(ROOT / "deploy/probe/entry"), *words],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return start


def test_other_commands_need_no_token(entry) -> None:  # type: ignore[no-untyped-def]
    answer = entry("consent", REACHPROBE_TOKEN_FILE="/none", REACHPROBE_TOKEN="rch1.x")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "hash: " in answer.stdout
    assert entry("status", "--check").returncode == 1


def test_a_token_file_that_is_not_there_is_one_line(entry, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    answer = entry("run", REACHPROBE_TOKEN_FILE="/none/token")
    assert answer.returncode == 2
    assert answer.stderr == ("reachprobe: REACHPROBE_TOKEN_FILE: /none/token: cannot be read\n")


def test_a_token_is_used_before_the_first_run(entry, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "token"
    path.write_text("rch1.nonsense\n")
    for variables in ({"REACHPROBE_TOKEN_FILE": str(path)}, {"REACHPROBE_TOKEN": "rch1.nonsense"}):
        answer = entry("run", **variables)
        assert answer.returncode == 2
        assert answer.stderr == "reachprobe: token: damaged, copy it again completely\n"


def test_an_enrolled_probe_needs_no_token(entry, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "state/enrolment.json").write_text("{}")
    answer = entry("run", REACHPROBE_TOKEN_FILE="/none/token", REACHPROBE_TOKEN="rch1.nonsense")
    assert answer.returncode == 2
    assert answer.stderr.startswith(f"reachprobe: {tmp_path}/state/enrolment.json: damaged")
