# SPDX-License-Identifier: Apache-2.0
"""Patterns of third parties, matched in bounded time.

Python's `re` backtracks: a pattern such as `(a+)+b` in a published list, or two `.*` and a page
made for them, would occupy the detector for minutes. So only a part of the language is supported:
characters, escapes, classes and `.`, each standing for exactly one character, with gaps (`.*`,
`.+` and their lazy forms) between. What lies between gaps has a fixed length, so that the first
place where each piece is found is good enough: nothing is ever tried twice, and the time is at
most pieces x length of text x length of piece.
"""

from __future__ import annotations

import re
from collections.abc import Callable

Found = Callable[[str], bool]
MAX_GAPS = 8
_ATOM = re.compile(
    r"(?P<gap>\.[*+]\??)"
    r"|(?P<one>\.|\\[dswDSW]|\\[^a-zA-Z0-9]|\[\^?[^\[\]\\]{1,60}\]|[^\\\[\]().*+?{}|^$])",
    re.DOTALL,
)


class PatternError(Exception):
    """A pattern that cannot be matched in bounded time, or that is no pattern. One line."""


def found_by(how: str, pattern: str) -> Found:
    """Return what says whether a text has the pattern. `how` is one of `entry.WAYS`.

    Raises PatternError.
    """
    match how:
        case "full":
            return pattern.__eq__
        case "prefix":
            return lambda text: text.startswith(pattern)
        case "contains":
            return lambda text: pattern in text
        case _:
            return _regexp(pattern)


def _regexp(pattern: str) -> Found:
    """A search, as `re.search` with DOTALL; `^` and `$` mean the ends of the whole text."""
    starts, ends = pattern.startswith("^"), pattern.endswith("$") and not pattern.endswith("\\$")
    inner = pattern[starts : len(pattern) - ends]
    pieces: list[list[str]] = [[]]
    least: list[int] = [0]
    at = 0
    while at < len(inner):
        atom = _ATOM.match(inner, at)
        if atom is None:
            raise PatternError(
                f"{inner[at : at + 12]!a} is not understood: only characters, escapes, "
                "classes, . and .* are"
            )
        if atom["gap"]:
            pieces.append([])
            least.append(atom["gap"][1] == "+")
        else:
            pieces[-1].append(atom["one"])
        at = atom.end()
    if len(pieces) > MAX_GAPS + 1:
        raise PatternError(f"more than {MAX_GAPS} gaps")
    if not any(any(one not in (".", r"\s", r"\S") for one in piece) for piece in pieces):
        raise PatternError("matches nearly everything")
    try:
        steps = [(re.compile("".join(p), re.DOTALL), len(p)) for p in pieces]
    except re.error as error:
        raise PatternError(str(error)) from None
    gaps = tuple(zip(steps, least, strict=True))

    def found(text: str) -> bool:
        place = 0
        for number, ((piece, length), skip) in enumerate(gaps):
            place += skip
            if ends and number == len(gaps) - 1:
                first = len(text) - length
                if first < place or (number == 0 and starts and first != 0):
                    return False
                return piece.match(text, first) is not None
            here = piece.match(text, 0) if starts and number == 0 else piece.search(text, place)
            if here is None:
                return False
            place = here.end()
        return True

    return found
