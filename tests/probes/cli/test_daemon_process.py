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
        "    def __init__(self): self.me = self\n"
        "def most():\n"
        "    lying = []\n"
        "    for n in range(6000):\n"
        "        Ring()\n"
        "        if not n % 50: lying.append(sum(type(o) is Ring for o in gc.get_objects()))\n"
        "    return max(lying)\n"
        "gc.set_threshold(2000, 10, 10)\n"
        "before = most()\n"
        "keep_memory_low()\n"
        "print(gc.get_freeze_count() > 1000, 0 < most() < before, gc.isenabled())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.split() == ["True", "True", "True"], ran.stderr
