"""The dictionary has every kind of observation; tests/monitor/interop/test_dictionary.py holds the
whole against docs/dictionary."""

from __future__ import annotations

import re

from probes.wire.dictionary import pages
from probes.wire.observation import KNOWN, Observation


def test_every_kind_and_its_fields_are_there() -> None:
    made = "".join(pages().values())
    for kind in KNOWN:
        section = made.split(f"\n## {kind.__name__}\n")[1].split("\n## ")[0]
        for name in set(kind.__struct_fields__) - set(Observation.__struct_fields__):
            assert f"| `{name}` |" in section


def test_every_type_that_is_named_is_described() -> None:
    described = {
        f"{name}#{title.lower()}"
        for name, text in pages().items()
        for title in re.findall(r"^## (\w+)$", text, re.MULTILINE)
    }
    named = set(re.findall(r"\]\((.+?)\)", "".join(pages().values())))
    assert named
    assert named <= described


def test_every_field_has_a_meaning() -> None:
    lines = "".join(pages().values()).splitlines()
    assert [line for line in lines if line.endswith("|  |")] == []
