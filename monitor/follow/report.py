# SPDX-License-Identifier: Apache-2.0
"""What whoever started it reads: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from typing import TextIO

from probes.runtime.progress import ProgressLine

LOG = logging.getLogger("reachwatch.follow")
LINE_SECONDS = 30.0
"""Between two lines where nobody watches a bar."""
_WIDTH = 24
_BAR_SECONDS = 0.3


def left_text(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Report:
    """How far it is, and what it waits for. `clock` gives seconds."""

    def __init__(self, err: TextIO, clock: Callable[[], float]) -> None:
        self._bar, self._clock = ProgressLine(err, _BAR_SECONDS), clock
        self._watched = err.isatty()
        self._next_line = 0.0
        self._began, self._runs = clock(), 0
        self.waits = ""

    def begins(self) -> None:
        """Count anew from here."""
        self._began, self._runs = self._clock(), 0

    def progress(self, hour: int, done: int, hours: int, runs: int) -> None:
        """So many of the hours are done and so many more runs read; `hour` is being read."""
        self._runs += runs
        now = self._clock()
        if not self._watched and now < self._next_line:
            return
        self._next_line = now + LINE_SECONDS
        passed = max(now - self._began, 0.001)
        time = dt.datetime.fromtimestamp(hour / 1000, dt.UTC)
        text = f"{time:%Y-%m-%d %H}:00, {done:,} of {hours:,} hours, {self._runs:,} runs"
        text += f", {self._runs / passed:,.0f} a second"
        if done:
            text += f", {left_text(passed / done * (hours - done))} left"
        if self._watched:
            full = _WIDTH * done // max(hours, 1)
            self._bar.show(f"[{'#' * full}{'.' * (_WIDTH - full)}] {text}")
        else:
            LOG.info("%s", text)

    def wait(self, text: str) -> None:
        """What is waited for; empty when it is over."""
        if text and text != self.waits:
            self.line(f"waiting: {text}", logging.WARNING)
        elif self.waits and not text:
            self.line("the source answers again")
        self.waits = text

    def line(self, text: str, level: int = logging.INFO) -> None:
        """A line that stays."""
        self._bar.clear()
        LOG.log(level, "%s", text)

    def clear(self) -> None:
        """Take the bar away."""
        self._bar.clear()
