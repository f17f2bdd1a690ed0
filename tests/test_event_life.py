"""The diagram of an event's life in the documents is that of the tables."""

from __future__ import annotations

from monitor.detection.events.life import EVENT, SERIES
from tests.event_life import DOCUMENT, diagram, replaced


def test_the_diagram_is_up_to_date() -> None:
    written = DOCUMENT.read_text(encoding="utf-8")
    assert written == replaced(written), "python -m tests.event_life"


def test_the_diagram_has_every_condition() -> None:
    drawn = diagram()
    for row in (*SERIES, *EVENT):
        assert row.condition.__name__.replace("_", " ") in drawn
