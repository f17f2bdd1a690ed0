# SPDX-License-Identifier: Apache-2.0
"""Log lines on stderr: JSON when nobody watches, words on a terminal.

Whatever is in `hide` (secrets, own addresses) is struck out of every line, wherever it came
from. A line that may repeat for days is given with `every`, and then appears at most so often,
with the number of those left out.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
import time
from typing import TextIO

import msgspec


def printable(line: str) -> str:
    """The line without what a terminal would obey: what strangers say ends up in reasons."""
    return "".join(c if c.isprintable() or c in "\n\t" else "?" for c in line)


class Log:
    """Writes log lines. Safe to call from one thread at a time."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self.hide: set[str] = set()
        self._repeats: dict[str, tuple[float, int]] = {}

    def __call__(self, event: str, *, every: float = 0.0, **fields: object) -> None:
        """Write one line. `every`: at least so many seconds between lines of this event."""
        if every:
            now = time.monotonic()
            last, left_out = self._repeats.get(event, (-every, 0))
            if now - last < every:
                self._repeats[event] = (last, left_out + 1)
                return
            self._repeats[event] = (now, 0)
            if left_out:
                fields["left_out"] = left_out
        line = self._formatted(event, {k: v for k, v in fields.items() if v != ""})
        for word in self.hide:
            line = line.replace(word, "[hidden]")
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            # Nobody reads the log any more; measuring goes on.
            pass

    def _formatted(self, event: str, fields: dict[str, object]) -> str:
        now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if not self._terminal:
            return msgspec.json.encode({"at": now, "event": event, **fields}).decode()
        words = "  ".join(f"{key}={value}" for key, value in fields.items())
        return printable(f"{now[11:19]}  {event}  {words}".rstrip())


class LogHandler(logging.Handler):
    """Takes what modules say through `logging` into the same log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; an exception's traceback goes into the field `trace`."""
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        level = record.levelname.lower()
        self._log(record.getMessage(), level=level, module=record.name, trace=trace)
