"""What is spared is not loaded, nothing is broken by it, and all can be had later."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from probes.spared import sparing

ROOT = Path(__file__).parents[2]


def run(code: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout.strip()


def test_absent_and_empty_and_afterwards_neither() -> None:
    with sparing(absent=["colorsys"], empty=["of_mine_alone", "json"]):
        with pytest.raises(ImportError):
            __import__("colorsys")
        assert not hasattr(__import__("of_mine_alone"), "anything")
        assert __import__("json").loads("[1]") == [1]  # it is loaded already
    assert __import__("colorsys").rgb_to_hsv(0, 0, 0) == (0, 0, 0)
    with pytest.raises(ImportError):
        __import__("of_mine_alone")


def test_also_when_the_import_fails() -> None:
    with pytest.raises(ZeroDivisionError), sparing(absent=["of_mine"], empty=["of_mine.too"]):
        raise ZeroDivisionError
    assert not {"of_mine", "of_mine.too"} & set(sys.modules)


def test_what_is_there_is_kept_and_less_lies_about_than_with_pythons_own_thresholds() -> None:
    said = run(
        "import gc, probes.spared\n"
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
        "probes.spared.settle()\n"
        "print(gc.get_freeze_count() > 1000, 0 < most() < before, gc.isenabled())"
    )
    assert said == "True True True"


def test_the_probe_is_lighter_and_its_libraries_work() -> None:
    loaded = run(
        "import sys, probes.agent\n"
        "print(sorted({'importlib.metadata', 'urllib.request', 'dns.resolver'} & set(sys.modules)))"
    )
    assert loaded == "[]"
    later = run(
        "import probes.net.dns_message, probes.runtime.mqtt, dns.name\n"
        "import importlib.metadata, urllib.request, dns.resolver\n"
        "print(importlib.metadata.version('dnspython') > '2', urllib.request.getproxies.__name__)\n"
        "print(dns.name.from_text('a.example'), dns.resolver.Resolver(configure=False).port)"
    )
    assert later == "True getproxies_environment\na.example. 53"
