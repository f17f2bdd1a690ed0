# SPDX-License-Identifier: Apache-2.0
"""Says on stdout that a measurement is on disk: for the program that runs the probe.

A terminal gets nothing. Whoever read stdout may go: the probe measures on. What was measured is
not known here beyond its id.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TextIO

from probes.delivery import spool
from probes.delivery.sqlite_file import DiskError
from probes.log import Log
from probes.wire import codec
from probes.wire.measurement import Measurement

SAID_AGAIN = 64
"""More than a round has under way at any moment."""


class Taken:
    """Call it with each measurement that is on disk."""

    def __init__(self, log: Log) -> None:
        self._out: TextIO | None = sys.stdout
        if self._out is not None and self._out.isatty():
            self._out = None
        self._log = log

    def __call__(self, taken: Measurement) -> None:
        """Say one line of JSON with the id."""
        if self._out is None:
            return
        try:
            self._out.write(f'{{"event": "taken", "id": "{taken.id}"}}\n')
            self._out.flush()
        except (OSError, ValueError):
            self._log("stdout is closed, measuring goes on")
            self._out = None
            forget_stdout()

    def say_again(self, directory: Path) -> None:
        """Say the newest measurements in a state directory once more: a kill between commit and
        print left one that was taken and never said so."""
        with contextlib.suppress(DiskError, codec.WireError):
            for _, line in spool.read_lines(directory, last=SAID_AGAIN):
                self(codec.decode(line))


def forget_stdout() -> None:
    """Whoever read stdout has gone: keep Python from complaining about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
