"""The process of a daemon."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def test_less_garbage_is_kept_than_with_pythons_own_thresholds() -> None:
    code = (
        "import gc\n"
        "from probes.cli.daemon_process import keep_memory_low\n"
        "class Ring:\n"
        "    lying = 0\n"
        "    def __init__(self): self.me = self; Ring.lying += 1\n"
        "    def __del__(self): Ring.lying -= 1\n"
        "def most():\n"
        "    return max(Ring() and Ring.lying for _ in range(6000))\n"
        "gc.set_threshold(2000, 10, 10)\n"
        "before = most()\n"
        "keep_memory_low()\n"
        "print(gc.get_freeze_count() > 1000, 0 < most() < before, gc.isenabled())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.split() == ["True", "True", "True"], ran.stderr
