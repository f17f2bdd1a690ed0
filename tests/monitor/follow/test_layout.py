import pytest

from monitor.follow.layout import (
    FileSelection,
    LayoutError,
    Listed,
    day_prefix,
    file_of,
    hour_prefix,
    hours_of,
)
from tests.monitor.follow.samples import NEW_YEAR
from tests.world.bucket import key

DOCUMENTED = "raw/20210817/15/US/webconnectivity/2021081715_US_webconnectivity.n0.0.jsonl.gz"
"""The example of OONI's document."""


def listed(*keys: str) -> list[Listed]:
    return [Listed(name, "v", 1) for name in keys]


def test_the_documented_name_is_read() -> None:
    file = file_of(Listed(DOCUMENTED, "v", 7))
    assert file is not None
    assert (file.country, file.test, file.posts, file.size) == ("US", "webconnectivity", False, 7)
    assert hour_prefix(file.hour) == "raw/20210817/15/"
    assert hours_of(["raw/20210817/15/", "raw/20210817/02/"])[1] == file.hour


@pytest.mark.parametrize(
    "name",
    [
        DOCUMENTED.replace("/15/", "/25/"),
        DOCUMENTED.replace("/US/", "/DE/"),
        DOCUMENTED.replace("raw/", "jsonl/"),
        DOCUMENTED.replace("20210817", "20211317"),
        DOCUMENTED.replace(".jsonl", ".csv"),
    ],
)
def test_other_names_are_no_files(name: str) -> None:
    assert file_of(Listed(name, "v", 1)) is None


def test_lines_take_the_place_of_posts() -> None:
    lines, alone = key("2026010100"), key("2026010100", number=1).replace(".jsonl.", ".tar.")
    files = FileSelection().files(listed(alone, lines.replace(".jsonl.", ".tar."), lines))
    assert [(file.key, file.posts) for file in files] == [(lines, False), (alone, True)]


def test_what_is_asked_for() -> None:
    assert day_prefix(NEW_YEAR) == "raw/20260101/"
    assert list(FileSelection().prefixes(NEW_YEAR)) == ["raw/20260101/00/"]
    chosen = FileSelection(("telegram", "signal"), ("UG", "KE"))
    assert list(chosen.prefixes(NEW_YEAR)) == ["raw/20260101/00/KE/", "raw/20260101/00/UG/"]
    assert chosen.text == FileSelection(("signal", "telegram"), ("KE", "UG")).text


def test_one_strange_name_is_passed_over_and_strange_names_alone_are_not() -> None:
    strange = "raw/20260101/00/KE/telegram/new-name.jsonl.gz"
    assert len(FileSelection().files(listed(strange, key("2026010100")))) == 1
    assert FileSelection().files(listed("raw/20260101/00/README")) == []
    with pytest.raises(LayoutError, match=r"new-name.jsonl.gz' is no file of measurements"):
        FileSelection().files(listed(strange))
    with pytest.raises(LayoutError, match="'raw/20260101/KE/' is no hour"):
        hours_of(["raw/20260101/KE/"])
