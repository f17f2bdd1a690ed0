"""An interrupted run of the tests: pytest tears down what it has started, and nothing is thrown."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

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
