"""Strips as text: what a template would have to draw, piece by piece."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from monitor.text.language import use
from monitor.web.draw import strip_text
from monitor.web.draw.event_marks import EventMark
from monitor.web.draw.strips import Strip, StripRun

HOUR = 3_600_000


def run(
    kind: str, x: float, width: float, n: int = 3, height: int = 16, below: str = ""
) -> StripRun:
    begin = int(x * HOUR)
    return StripRun(
        kind, f"word of {kind}", x, width, begin, begin + int(width * HOUR), n, height, below
    )


def strip(*runs: StripRun, marks: tuple[EventMark, ...] = (), summary: str = "all") -> Strip:
    return Strip(runs, 4, 0, 4 * HOUR, summary, 0, 0, marks)


def rects(text: str) -> list[tuple[str, str, str, str, str]]:
    """(class, x, y, width, height) of all rectangles."""
    return [
        tuple(rect.get(name, "") for name in ("class", "x", "y", "width", "height"))  # type: ignore[misc]
        for rect in ElementTree.fromstring(text).iter("rect")
    ]


@pytest.mark.parametrize(
    ("one", "drawn"),
    [
        pytest.param(run("ok", 1, 2), [("t-ok", "25.000%", "0", "50.000%", "16")], id="whole"),
        pytest.param(
            run("none", 0, 1, 0), [("t-none", "0.000%", "7", "25.000%", "2")], id="a line"
        ),
        pytest.param(
            run("part", 0, 4),
            [
                ("t-ok", "0.000%", "11", "100.000%", "5"),
                ("t-part", "0.000%", "0", "100.000%", "11"),
            ],
            id="a part above what is reachable",
        ),
        pytest.param(
            run("blocked", 0, 1, height=6, below="unclear"),
            [
                ("t-unclear", "0.000%", "6", "25.000%", "10"),
                ("t-blocked", "0.000%", "0", "25.000%", "6"),
            ],
            id="a share above the rest",
        ),
        pytest.param(
            run("part", 0, 1, height=4, below="mixed"),
            [
                ("t-mixed", "0.000%", "4", "25.000%", "12"),
                ("t-part", "0.000%", "0", "25.000%", "4"),
            ],
            id="a share of a part",
        ),
    ],
)
def test_a_piece(one: StripRun, drawn: list[tuple[str, ...]]) -> None:
    assert rects(strip_text.picture(strip(one), "Signal")) == drawn


def test_marks_are_above_and_end_exactly() -> None:
    mark = EventMark("part", "a block", 10.0, 0.5, HOUR, 2 * HOUR, "e1")
    text = strip_text.picture(strip(run("ok", 0, 4), marks=(mark,)), "Signal")
    assert rects(text)[-1] == ("t-part event-mark", "10.000%", "0", "0.500%", "11")
    assert "1970-01-01 01:00:00 UTC – 1970-01-01 02:00:00 UTC: a block" in text
    assert '<a href="/e/e1">a block</a>' in strip_text.table(strip(marks=(mark,)), "Signal")


def test_texts_are_escaped() -> None:
    hostile = strip(run("ok", 0, 4), summary='"><script>')
    for text in (strip_text.picture(hostile, "<b>&"), strip_text.table(hostile, '<b>"')):
        ElementTree.fromstring(text)
        assert "<script>" not in text
        assert "<b>" not in text


def test_the_table_has_what_was_measured_and_says_where_nothing_was() -> None:
    drawn = strip(run("ok", 0, 1, 7), run("none", 1, 3, 0))
    assert re.findall(r"<td[^>]*>([^<]*)</td>", strip_text.table(drawn, "Signal")) == [
        "1970-01-01 00:00:00 UTC",
        "1970-01-01 01:00:00 UTC",
        "word of ok",
        "7",
    ]
    assert "Nothing was measured" in strip_text.table(strip(run("none", 0, 4, 0)), "Signal")


def test_an_axis_is_in_the_language_of_the_page() -> None:
    try:
        english = strip_text.axis(0, 40 * 24 * HOUR)
        use("ru")
        russian = strip_text.axis(0, 40 * 24 * HOUR)
    finally:
        use("en")
    assert "Jan" in english
    assert "янв" in russian
    assert english == strip_text.axis(0, 40 * 24 * HOUR)
    assert {line.get("y2") for line in ElementTree.fromstring(english).iter("line")} == {"4"}


def test_what_a_colour_is_of_is_counted_beside_all_that_was_measured() -> None:
    """Of a day in which five of 48 failed "failing as blocked (48)" would be ten times too much."""
    some = replace(run("blocked", 0, 1, 48, height=2, below="ok"), failing=5)
    every = replace(run("blocked", 1, 1, 30), failing=30)
    drawn = strip(some, every)
    assert "word of blocked (5 of 48)" in strip_text.picture(drawn, "Russia")
    assert "word of blocked (30)" in strip_text.picture(drawn, "Russia")
    assert '<td class="n">5 of 48</td>' in strip_text.table(drawn, "Russia")
