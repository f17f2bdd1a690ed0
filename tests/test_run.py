"""A run of the tests: an interrupt reaches pytest, and what failed by chance is run once more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import run

PYTEST = """
import sys, time
try:
    print("runs", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("torn down", flush=True)
    sys.exit(2)
"""
RUN = f"""
import os, signal, sys
from tests import run
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
run.INTERRUPT_SECONDS = float(sys.argv[1])
sys.exit(run.run([sys.executable, "-c", {PYTEST!r}], dict(os.environ)))
"""


@pytest.mark.parametrize("whom", ["the run alone", "both, as a terminal does"])
def test_an_interrupt_reaches_pytest(whom: str) -> None:
    alone = whom == "the run alone"
    with subprocess.Popen(
        [sys.executable, "-c", RUN, "0.1" if alone else "30"],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "runs\n"
        (os.kill if alone else os.killpg)(running.pid, signal.SIGINT)
        said = running.stdout.read()
    assert running.returncode == 2
    assert "torn down" in said
    assert "Traceback" not in said


PASSES = "def test_passes():\n    pass\n"
PASSES_LATER = """
from pathlib import Path

def test_passes_later():
    seen = Path(__file__).with_suffix(".seen")
    first = not seen.exists()
    seen.touch()
    assert not first
"""
FAILS = "def test_fails():\n    assert False\n"
DIES = "import os\ndef test_dies():\n    os._exit(9)\n"


@pytest.mark.parametrize(
    ("files", "status", "attempts"),
    [
        ({"passes": PASSES}, 0, 1),
        ({"passes": PASSES, "later": PASSES_LATER}, 0, 2),
        ({"passes": PASSES, "later": PASSES_LATER, "fails": FAILS}, 1, 2),
        ({f"later{n}": PASSES_LATER for n in range(run.MOST_AGAIN)}, 0, 2),
        ({f"later{n}": PASSES_LATER for n in range(run.MOST_AGAIN + 1)}, 1, 1),
        ({"dies": DIES, "later": PASSES_LATER}, 2, 1),
    ],
)
def test_a_few_that_failed_are_run_once_more(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    files: dict[str, str],
    status: int,
    attempts: int,
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "tests.lanes", "--lanes", "2"),
        *("-c", os.devnull, "--rootdir", str(folder)),
        *(f"--basetemp={tmp_path}/temporary", str(folder)),
    ]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    assert run.run_twice(command, environment, tmp_path / "cache") == status
    said = capfd.readouterr().out
    assert said.count("failed, and run once more alone: ") == attempts - 1
    assert said.count("passed at the second attempt only: ") == (attempts == 2 and not status)
    again = [line for line in said.splitlines() if line.startswith("failed, and run")]
    assert all("later" in line and "passes.py" not in line for line in again)
