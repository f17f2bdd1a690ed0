# SPDX-License-Identifier: Apache-2.0
"""How far long work is, on a terminal."""

from __future__ import annotations

import time
from typing import TextIO


class ProgressLine:
    """A line that is written again and again on a terminal; nothing elsewhere."""

    def __init__(self, out: TextIO, seconds: float = 0.0) -> None:
        """`seconds` is the least time between two writes."""
        self._out, self._seconds, self._on = out, seconds, out.isatty()
        self._due = 0.0
        self.shown = False
        """Whether the line is there at the moment."""

    def show(self, text: str) -> None:
        """Write the line in place of the last one, unless that was just written."""
        now = time.monotonic()
        if self._on and now >= self._due:
            self._due, self.shown = now + self._seconds, True
            self._write(text)

    def clear(self) -> None:
        """Take the line away, before something else is printed."""
        if self.shown:
            self.shown = False
            self._write("")

    def _write(self, text: str) -> None:
        self._out.write(f"\r{text}\x1b[K")
        self._out.flush()
