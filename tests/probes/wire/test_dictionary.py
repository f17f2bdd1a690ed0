"""The dictionary has every kind of observation; tests/monitor/interop/test_dictionary.py holds the
whole against docs/data-dictionary.md."""

from __future__ import annotations

import re

from probes.wire.dictionary import dictionary
from probes.wire.observation import KNOWN, Observation


def test_every_kind_and_its_fields_are_there() -> None:
    made = dictionary()
    for kind in KNOWN:
        section = made.split(f"\n## {kind.__name__}\n")[1].split("\n## ")[0]
        for name in set(kind.__struct_fields__) - set(Observation.__struct_fields__):
            assert f"| `{name}` |" in section


def test_every_type_that_is_named_is_described() -> None:
    made = dictionary()
    described = {title.lower() for title in re.findall(r"^## (\w+)$", made, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", made)) <= described


def test_every_field_has_a_meaning() -> None:
    assert [line for line in dictionary().splitlines() if line.endswith("|  |")] == []
