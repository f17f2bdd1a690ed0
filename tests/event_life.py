"""Draws the life of an event from its tables, for docs/architecture.md: `python -m
tests.event_life` writes it there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from monitor.detection.events.life import (
    ENDED,
    EVENT,
    ONGOING,
    SERIES,
    SURENESS,
    Stage,
    StageTransition,
)

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "architecture.md"
BEGIN, END = "```mermaid\nstateDiagram-v2\n", "```\n"


def diagram() -> str:
    """Both tables as one state diagram in Mermaid's language."""
    return BEGIN + "".join(f"    {line}\n" for line in _lines()) + END


def _lines() -> Iterator[str]:
    yield "state series {"
    yield "    s_suspected: suspected"
    yield from (f"    s_{stage}: {stage}" for stage in SURENESS[1:])
    yield from (f"    {arrow}" for arrow in _arrows(SERIES, "s_"))
    yield "}"
    yield "state event {"
    yield "    state ongoing {"
    yield from (f"        {arrow}" for arrow in _arrows(_between(SURENESS), ""))
    yield "        --"
    yield f"        [*] --> {Stage.OPEN}"
    yield from (f"        {arrow}" for arrow in _arrows(_between(ONGOING), ""))
    yield "    }"
    ends = [row for row in EVENT if row.to in ENDED]
    yield from (f"    {arrow}" for arrow in _arrows(ends, ""))
    yield "}"


def _between(stages: Sequence[Stage]) -> list[StageTransition]:
    return [row for row in EVENT if row.to in stages]


def _arrows(table: Sequence[StageTransition], prefix: str) -> Iterator[str]:
    for row in table:
        words = row.condition.__name__.replace("_", " ")
        told = f" ({row.announces})" if row.announces not in (None, row.to) else ""
        sources = ("ongoing",) if row.source == ONGOING else row.source
        for source in sources:
            start = "[*]" if source is Stage.SUSPECTED and not prefix else f"{prefix}{source}"
            yield f"{start} --> {prefix}{row.to}: {words}{told}"


def replaced(text: str) -> str:
    """The document with the present diagram."""
    head, rest = text.split(BEGIN)
    return head + diagram() + rest.split(END, 1)[1]


if __name__ == "__main__":
    DOCUMENT.write_text(replaced(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
