"""The options that name a directory of fingerprints."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.commands.main import build
from monitor.commands.options import OptionError, parse


@pytest.mark.parametrize(
    "words", [["up"], ["detect"], ["replay"], ["judge", "--probe", "-"], ["fingerprints", "list"]]
)
def test_whoever_judges_takes_them(words: list[str]) -> None:
    assert parse(build(), words, {}).fingerprints is None
    given = parse(build(), words, {"REACHWATCH_FINGERPRINTS": "/srv/known"})
    assert given.fingerprints == Path("/srv/known")
    given = parse(build(), [*words, "--fingerprints", "here"], {"REACHWATCH_FINGERPRINTS": "/srv"})
    assert given.fingerprints == Path("here")


def test_import_needs_a_file() -> None:
    with pytest.raises(OptionError, match="FILE"):
        parse(build(), ["fingerprints", "import"], {})
