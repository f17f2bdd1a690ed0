"""Which lines of the product an input reaches, and the shortest input that still reaches them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

Line = tuple[str, int]
Reach = Callable[[bytes], frozenset[Line]]

MOST_TRIES = 300
"""Shorter inputs that are tried for one that is kept."""
_ROOT = Path(__file__).resolve().parents[2]
_OURS = tuple(f"{_ROOT / folder}/" for folder in ("monitor", "probes"))


def lines_of(read: Callable[[bytes], object]) -> Reach:
    """What tells the lines of `monitor` and `probes` that a reader executes for an input, also
    when it ends with an error."""

    def lines(given: bytes) -> frozenset[Line]:
        reached = set[Line]()

        def in_frame(frame: FrameType, event: str, _: Any) -> Any:
            if event == "line":
                reached.add((frame.f_code.co_filename, frame.f_lineno))
            return in_frame

        def at_call(frame: FrameType, _event: str, _: Any) -> Any:
            return in_frame if frame.f_code.co_filename.startswith(_OURS) else None

        before = sys.gettrace()
        sys.settrace(at_call)
        try:
            with contextlib.suppress(Exception):
                read(given)
        finally:
            sys.settrace(before)
        return frozenset(reached)

    return lines


def shortest(given: bytes, wanted: frozenset[Line], reach: Reach) -> bytes:
    """An input from which nothing can be cut without losing one of these lines; larger pieces are
    tried first, and no more than some."""
    tries, piece = 0, len(given) // 2
    while piece and tries < MOST_TRIES:
        place = 0
        while place < len(given) and tries < MOST_TRIES:
            shorter = given[:place] + given[place + piece :]
            tries += 1
            if wanted <= reach(shorter):
                given = shorter
            else:
                place += piece
        piece //= 2
    return given
