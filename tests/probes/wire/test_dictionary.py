"""The dictionary in docs is what the types say."""

from __future__ import annotations

from pathlib import Path

from probes.wire.dictionary import dictionary
from probes.wire.observation import KNOWN

ROOT = Path(__file__).resolve().parents[3]


def test_the_file_is_current() -> None:
    written = (ROOT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
    assert written == dictionary(), "reachwatch schema --markdown > docs/data-dictionary.md"


def test_every_kind_and_its_fields_are_there() -> None:
    made = dictionary()
    for kind in KNOWN:
        section = made.split(f"\n## {kind.__name__}\n")[1].split("\n## ")[0]
        for name in kind.__annotations__:
            if name != "STEP":
                assert f"| `{name}` |" in section
