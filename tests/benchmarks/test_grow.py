from __future__ import annotations

from xml.etree import ElementTree

from benchmarks.grow import Grown, drawn, judged, table
from benchmarks.size.fill import Fleet, Size

SMALL = Grown("sqlite", 1_000_000, 1.0, 0.9, 20, 30, 9_000, 20, 9_000, 100, 8.0, 5.0, 0.9, 300)
LARGE = Grown("sqlite", 10_000_000, 4.0, 0.9, 20, 60, 9_000, 20, 9_000, 100, 8.0, 5.0, 0.9, 310)


def test_what_is_missed_is_said() -> None:
    lines = [line for good, line in judged([SMALL, LARGE]) if not good]
    assert lines == [
        "MISSED  sqlite 10 million: start 4.0, at most 3.0",
        "MISSED  sqlite 10 million: pages take 2.00 times what they take at 1 million, at most 1.3",
    ]
    slow = Grown(
        "postgresql", 1_000_000, 1.0, 0.9, 20, 30, 9_000, 20, 9_000, 100, 2.0, 0.1, 0.9, 300
    )
    assert [line for good, line in judged([slow]) if not good] == [
        "MISSED  postgresql 1 million: prune 2.0, at most 1.0"
    ]


def test_the_picture_has_a_panel_a_figure_and_the_table_a_row_a_store() -> None:
    other = Grown(
        "postgresql", 1_000_000, 2.0, 0.9, 20, 30, 9_000, 20, 9_000, 100, 0.5, 0.1, 0.9, 400
    )
    shown = ElementTree.fromstring(drawn([SMALL, LARGE, other]))
    space = "{http://www.w3.org/2000/svg}"
    assert len(shown.findall(f"{space}g")) == 6
    assert len(shown.findall(f"{space}g/{space}circle")) == 6 * 3
    assert len(table([SMALL, LARGE, other]).splitlines()) == 5
    ElementTree.fromstring(drawn([SMALL]))  # one size alone


def test_a_fleet_of_few_networks_has_each_event_once() -> None:
    ids = [event.id for event in Fleet(Size(1000, 5, 2, 2, 3), 1_790_000_000_000).events()]
    assert len(ids) == len(set(ids)) > 10
