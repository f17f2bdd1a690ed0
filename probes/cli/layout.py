# SPDX-License-Identifier: Apache-2.0
"""Lines on a terminal, laid out by the cells that they take: a Chinese letter takes two. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

LABEL_CELLS = 14
"""The width of a label's column. A wider label makes it wider."""
_WIDE = r"\u2e80-\u9fff\uf900-\ufaff\uff00-\uff60"
_ENDS, _BEGINS = "、。，：；？！）》」", "（《「"
"""What no line begins with, and what no line ends with."""
_BREAK = re.compile(
    rf"(?<= )(?<!« )(?![:;?!»])"
    rf"|(?<=[{_WIDE}])(?<![{_BEGINS}])(?=[^ {_ENDS}])"
    rf"|(?<=[^ {_BEGINS}])(?=[{_WIDE}])(?![{_ENDS}])"
)
"""Where a line may end: at a space, but not at one that belongs to a mark as in French, and on
either side of a Chinese letter."""


def cells(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def aligned(labelled: Iterable[tuple[str, str]]) -> list[str]:
    """Lines of a label and a text, the texts below one another."""
    pairs = list(labelled)
    width = max([LABEL_CELLS, *(cells(label) for label, _ in pairs)])
    return [f"{label}{' ' * (width - cells(label))} {text}" for label, text in pairs]


def wrapped(text: str, width: int) -> str:
    """Lay out a text anew in lines of at most `width` cells; an empty line parts paragraphs."""
    return "\n\n".join("\n".join(_lines(part, width)) for part in text.strip().split("\n\n"))


def _lines(paragraph: str, width: int) -> Iterator[str]:
    line = ""
    for piece in _BREAK.split(" ".join(paragraph.split())):
        if line and cells((line + piece).rstrip()) > width:
            yield line.rstrip()
            line = ""
        line += piece
    yield line.rstrip()
