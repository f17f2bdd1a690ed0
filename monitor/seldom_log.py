# SPDX-License-Identifier: Apache-2.0
"""Log lines that strangers cause: each kind once a minute, so that a flood of them does not become
a flood of lines.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

SECONDS = 60.0


class SeldomLog:
    """A logger that writes each kind of line, which is its format string, at most once in a minute
    and says how many there were in between."""

    def __init__(self, log: logging.Logger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._log, self._clock = log, clock
        self._kinds: dict[str, tuple[float, int]] = {}
        """Kind -> (when it was written, lines left out since)."""

    def warning(self, line: str, *values: object) -> None:
        """Log a warning, or count it."""
        self._write(logging.WARNING, line, values)

    def info(self, line: str, *values: object) -> None:
        """Log what is of interest, or count it."""
        self._write(logging.INFO, line, values)

    def _write(self, level: int, line: str, values: tuple[object, ...]) -> None:
        now = self._clock()
        written, left_out = self._kinds.get(line, (None, 0))
        if written is not None and now - written < SECONDS:
            self._kinds[line] = (written, left_out + 1)
            return
        self._kinds[line] = (now, 0)
        more = f" (and {left_out} more like this)" if left_out else ""
        self._log.log(level, line + more, *values)
