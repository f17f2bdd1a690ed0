# SPDX-License-Identifier: Apache-2.0
"""In which slice of a window a time is: thousands of rows have the same hundred times."""

from __future__ import annotations

import functools


class Slots(dict[int, int | None]):
    """The number of its slice by time (Unix ms), None outside of the window; filled as it is asked.
    What is over after whole slices is in the last one."""

    def __init__(self, since: int, until: int, width: int, slices: int) -> None:
        super().__init__()
        self._since, self._until, self._width, self._last = since, until, width, slices - 1

    def __missing__(self, at: int) -> int | None:
        inside = self._since <= at < self._until
        slot = min((at - self._since) // self._width, self._last) if inside else None
        self[at] = slot
        return slot


slots_of = functools.lru_cache(maxsize=16)(Slots)
