"""What a file gives, whole, cut, damaged, and from a line on."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from monitor.follow.contents import AT_ONCE, Portion, portions
from monitor.follow.layout import Listed, file_of
from monitor.interop.ooni.reading import ImportedRun, line_items
from tests.monitor.follow.samples import runs
from tests.monitor.interop.samples import document, query, targets_by_name
from tests.world.bucket import key, lines_file, posts_file


def read(
    packed: bytes, skipped: int = 0, test: str = "telegram", kind: str = "jsonl"
) -> list[Portion]:
    file = file_of(Listed(key("2026010100", test=test).replace(".jsonl.", f".{kind}."), "v", 1))
    assert file is not None
    return list(portions(file, io.BytesIO(packed), targets_by_name(), skipped))


def test_all_lines_in_portions_and_those_after_a_place() -> None:
    packed = lines_file(runs(range(2 * AT_ONCE + 10)))
    whole = read(packed)
    assert [(one.lines, one.runs, one.ended) for one in whole] == [
        (AT_ONCE, AT_ONCE, False),
        (2 * AT_ONCE, AT_ONCE, False),
        (2 * AT_ONCE + 10, 10, True),
    ]
    rest = read(packed, AT_ONCE)
    assert [one.measurements for one in rest] == [one.measurements for one in whole[1:]]


@pytest.mark.parametrize("kind", ["jsonl", "tar"])
def test_what_is_before_the_cut_is_kept(kind: str) -> None:
    packed = lines_file(runs(range(60))) if kind == "jsonl" else posts_file(runs(range(60)))
    (cut,) = read(packed[: len(packed) // 2], kind=kind)
    assert (cut.broken, cut.ended) == ("truncated", True)
    assert 1 < cut.runs < 55
    (whole,) = read(packed, kind=kind)
    assert (whole.broken, whole.runs) == ("", 60)
    assert cut.measurements == whole.measurements[: len(cut.measurements)]


def test_what_is_damaged_says_so() -> None:
    (nothing,) = read(b"no gzip at all")
    assert (nothing.broken, nothing.runs) == ("damaged", 0)


def test_of_the_web_test_only_sites_of_the_catalogue_are_decoded() -> None:
    def web(site: str, **more: Any) -> dict[str, Any]:
        return {
            **document("web_connectivity", queries=[query("t.me", "192.0.2.1")], **more),
            "input": site,
        }

    sites = ["https://example.org/", "https://t.me/x", "http://WEB.telegram.org:80/", "ftp://t.me"]
    (portion,) = read(lines_file(map(web, sites)), test="webconnectivity")
    assert portion.runs == 2
    # An import keeps the same ones.
    imported = [
        found
        for site in sites
        for item in line_items(json.dumps(web(site)).encode(), 1, targets_by_name())
        if isinstance(item, ImportedRun)
        for found in item.found
    ]
    assert imported == portion.measurements
    (whole,) = read(lines_file([web("https://example.org/")]), test="signal")
    assert whole.runs == 1
