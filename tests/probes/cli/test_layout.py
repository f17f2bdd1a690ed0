"""Lines on a terminal: no wider than it, broken where each script is broken."""

from __future__ import annotations

import re

import pytest

from probes.cli import consent
from probes.cli.layout import aligned, cells, wrapped
from probes.words import LANGUAGES


def test_chinese_takes_two_cells() -> None:
    assert [cells(text) for text in ("round", "цикл", "上一轮", "（a）")] == [5, 4, 6, 5]


def test_texts_are_below_one_another() -> None:
    lines = aligned([("上一轮", "|"), ("следующий цикл", "|"), ("a label that is wide", "|")])
    assert {cells(line) for line in lines} == {len("a label that is wide |")}
    assert aligned([("a", "|")]) == ["a" + " " * 14 + "|"]


@pytest.mark.parametrize("width", [40, 78, 100])
@pytest.mark.parametrize("language", LANGUAGES)
def test_lines_are_full_and_lose_nothing(language: str, width: int) -> None:
    text = consent.text(language)
    laid = wrapped(text, width)
    for paragraph, before in zip(laid.split("\n\n"), text.strip().split("\n\n"), strict=True):
        assert re.sub(r"\s", "", paragraph) == re.sub(r"\s", "", before)
        *lines, _last = paragraph.split("\n")
        assert all(width - 20 < cells(line) <= width for line in lines)


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("one two  three", 7, ["one two", "three"]),
        ("один два три", 8, ["один два", "три"]),
        ("unbreakable a", 4, ["unbreakable", "a"]),
        ("vrai ou faux : oui", 12, ["vrai ou", "faux : oui"]),
        ("il dit « oui » ici", 10, ["il dit", "« oui »", "ici"]),
        ("一二三四五", 6, ["一二三", "四五"]),
        ("一二三。四五", 6, ["一二", "三。四", "五"]),
        ("一二（三四）", 6, ["一二", "（三", "四）"]),
        ("一二 VPN 三", 8, ["一二 VPN", "三"]),
        ("用--only选", 5, ["用", "--only", "选"]),
        ("（--only、--full）", 9, ["（--only、", "--full）"]),
    ],
)
def test_where_a_line_ends(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width).split("\n") == lines
