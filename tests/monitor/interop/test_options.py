"""The options of import and export, as the command line reads them."""

from __future__ import annotations

from pathlib import Path

import pytest

from monitor.commands import main, options
from monitor.commands.options import OptionError


def test_import_takes_files() -> None:
    given = options.parse(main.build(), ["import", "ooni", "a.csv.gz", "-"], {})
    assert (given.command, given.leaf, given.files) == ("import", "ooni", ["a.csv.gz", "-"])


def test_export_filters() -> None:
    words = ["export", "csv", "--service", "wechat", "--country", "ke", "--asn", "AS12455"]
    words += ["--since", "2023-11-08", "--until", "2023-11-24T00:00:00Z", "--output", "x.csv"]
    given = options.parse(main.build(), words, {})
    assert (given.service, given.country, given.asn) == ("wechat", "KE", 12455)
    assert (given.since, given.until) == (1_699_401_600_000, 1_700_784_000_000)
    assert given.output == Path("x.csv")


@pytest.mark.parametrize(
    "words",
    [
        ["import", "ooni"],
        ["import"],
        ["export"],
        ["export", "xml"],
        ["export", "csv", "--country", "Kenya"],
        ["export", "csv", "--asn", "x"],
        ["export", "csv", "--since", "soon"],
    ],
)
def test_bad_words_are_one_line(words: list[str]) -> None:
    with pytest.raises(OptionError) as told:
        options.parse(main.build(), words, {})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("words", [["import", "ooni"], ["export", "ooni"], ["export", "parquet"]])
def test_help_is_complete(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options.parse(main.build(), [*words, "--help"], {})
    assert "--database" in capsys.readouterr().out
