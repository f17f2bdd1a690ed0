"""Lanes of a run: every test once, its files' tests in one process, and what goes wrong is said."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.world.waiting import eventually

CONFTEST = """
import os, pathlib, pytest
import _pytest.tmpdir

def clean_up(_root):
    (pathlib.Path(__file__).parent / f"cleaned.{os.getpid()}").touch()

_pytest.tmpdir.cleanup_dead_symlinks = clean_up

@pytest.fixture(scope="session")
def server(request):
    folder = pathlib.Path(__file__).parent
    (folder / f"started.{os.getpid()}").touch()
    yield os.getpid()
    (folder / f"started.{os.getpid()}").rename(folder / f"ended.{os.getpid()}")
"""
FILE = """
import os, pathlib

def test_one(server, tmp_path):
    with (pathlib.Path(__file__).parent / "ran").open("a") as ran:
        ran.write(f"{__name__} {server} one\\n")

def test_two(server, tmp_path):
    print("said by", "two")
    assert server == os.getpid()
    with (pathlib.Path(__file__).parent / "ran").open("a") as ran:
        ran.write(f"{__name__} {server} two\\n")
"""


def run(folder: Path, **files: str) -> tuple[int, str]:
    """Exit status and output of a run of these files in two lanes."""
    done = subprocess.run(
        command(folder / "files", files),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # half of the time
    )
    return done.returncode, done.stdout + done.stderr


def command(folder: Path, files: Mapping[str, str]) -> list[str]:
    """A run of these files in two lanes."""
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return [
        *(sys.executable, "-m", "pytest", "-q", "-p", "tests.lanes", "--lanes", "2"),
        *("-c", os.devnull, "--rootdir", str(folder), "-p", "no:cacheprovider"),
        *(f"--basetemp={folder}/temporary", str(folder)),
    ]


def test_every_test_runs_once_beside_those_of_its_file(tmp_path: Path) -> None:
    names = [f"test_{letter}" for letter in "abcde"]
    status, said = run(tmp_path, conftest=CONFTEST, **dict.fromkeys(names, FILE))
    assert status == 0, said
    assert "10 passed" in said
    ran = [line.split() for line in (tmp_path / "files/ran").read_text().splitlines()]
    assert sorted((name, which) for name, _, which in ran) == [
        (name, which) for name in names for which in ("one", "two")
    ]
    assert len({(name, lane) for name, lane, _ in ran}) == len(names)
    ended = {path.name.partition(".")[2] for path in (tmp_path / "files").glob("ended.*")}
    assert ended == {lane for _, lane, _ in ran}
    assert not list((tmp_path / "files").glob("started.*"))
    (cleaned,) = (path.name.partition(".")[2] for path in (tmp_path / "files").glob("cleaned.*"))
    assert cleaned not in ended


def test_what_is_marked_alone_runs_when_all_the_others_have_ended(tmp_path: Path) -> None:
    marked = """
import pathlib, pytest

@pytest.mark.alone
def test_alone():
    folder = pathlib.Path(__file__).parent
    assert len((folder / "ran").read_text().splitlines()) == 4
    assert not list(folder.glob("started.*"))
"""
    status, said = run(tmp_path, conftest=CONFTEST, test_a=marked, test_b=FILE, test_c=FILE)
    assert status == 0, said
    assert "5 passed" in said


def test_a_failure_is_shown_with_what_it_printed(tmp_path: Path) -> None:
    broken = FILE.replace("server == os", "server != os")
    status, said = run(tmp_path, conftest=CONFTEST, test_a=FILE, test_b=broken)
    assert status == 1
    assert "1 failed, 3 passed" in said
    assert said.count("said by two") == 1
    assert re.search(r"assert (\d+) != \1", said)


def test_a_lane_that_dies_fails_the_run(tmp_path: Path) -> None:
    deadly = "import os\ndef test_deadly():\n    os.kill(os.getpid(), 9)\n"
    status, said = run(tmp_path, conftest=CONFTEST, test_a=deadly, test_b=FILE, test_c=FILE)
    assert status == 2
    assert "a lane ended with -9 in test_a.py::test_deadly" in said
    assert "4 passed" in said


async def test_lanes_end_with_a_run_that_is_killed(tmp_path: Path) -> None:
    text = """
import os, pathlib, time

def test_waits():
    (pathlib.Path(__file__).parent / "lane.new").write_text(str(os.getpid()))
    (pathlib.Path(__file__).parent / "lane.new").rename(pathlib.Path(__file__).parent / "lane")
    time.sleep(1000)
"""
    going = subprocess.Popen(command(tmp_path / "files", {"test_a": text}))
    try:
        await eventually((tmp_path / "files/lane").exists)
    finally:
        going.kill()
        going.wait()
    lane = Path("/proc") / (tmp_path / "files/lane").read_text() / "cmdline"
    # Of a process that nobody has waited for yet it is empty.
    await eventually(lambda: not lane.exists() or not lane.read_text())


def test_a_session_fixture_that_does_not_end_fails_the_run(tmp_path: Path) -> None:
    conftest = CONFTEST.replace("rename(folder", "rename(folder / 'nowhere'")
    status, said = run(tmp_path, conftest=conftest, test_a=FILE)
    assert status == 2
    assert "FileNotFoundError" in said
