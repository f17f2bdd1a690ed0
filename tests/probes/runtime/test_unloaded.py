"""What is left out of a probe's memory, and that it is there for whoever needs it."""

import subprocess
import sys

from probes.runtime.unloaded import without
from tests.world.tiny import environment


def test_what_is_loaded_meanwhile_finds_an_empty_module_and_others_the_real_one() -> None:
    known = sys.modules.pop("this", None)
    with without("this", "subprocess"):
        assert not hasattr(sys.modules["this"], "s")
        assert sys.modules["subprocess"] is subprocess
    assert "this" not in sys.modules
    if known is not None:
        sys.modules["this"] = known


def test_a_daemon_is_ready_without_the_standard_librarys_http() -> None:
    program = (
        "import sys, probes.cli.main, probes.daemon.agent\n"
        "print({'http.client', 'urllib.request'} & set(sys.modules))\n"
        "import urllib.request\n"
        "print(hasattr(urllib.request, 'getproxies'))\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True
    )
    assert told.stdout.split() == ["set()", "True"], told.stderr
