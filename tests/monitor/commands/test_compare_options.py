"""What `reachwatch compare ooni` takes and refuses."""

import pytest

from monitor.commands.options import build
from probes.runtime.options import OptionError


def test_lists_and_times() -> None:
    words = ["--tests", "signal,telegram", "--countries", "KE", "--since", "2026-01-02"]
    given = build().read(["compare", "ooni", *words, "a.jsonl"])
    assert (list(given.tests), list(given.countries)) == (["signal", "telegram"], ["KE"])
    assert (given.since, given.until, given.format) == (1_767_312_000_000, None, "text")
    assert given.files == ["a.jsonl"]


@pytest.mark.parametrize(
    "wrong", [["--tests", "ndt"], ["--format", "xml"], ["--countries", "Kenya"], ["--until", "x"]]
)
def test_what_cannot_be_compared(wrong: list[str]) -> None:
    with pytest.raises(OptionError, match=wrong[0]):
        build().read(["compare", "ooni", *wrong])
