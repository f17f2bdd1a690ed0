# SPDX-License-Identifier: Apache-2.0
"""Reports on stdout each measurement that is on disk, for the program that runs the probe.

Nothing is printed on a terminal. When stdout is closed, the probe goes on measuring.
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

LATEST = 64
"""More than a round has in progress at any moment."""


class StdoutReport:
    """Called with each measurement that is on disk."""

    def __init__(self, log: Log) -> None:
        self._out: TextIO | None = sys.stdout
        if self._out is not None and self._out.isatty():
            self._out = None
        self._log = log

    def __call__(self, stored: Measurement) -> None:
        """Print one line of JSON with the id."""
        if self._out is None:
            return
        try:
            self._out.write(f'{{"event": "taken", "id": "{stored.id}"}}\n')
            self._out.flush()
        except (OSError, ValueError):
            self._log("stdout was closed: measuring continues")
            self._out = None
            discard_stdout()

    def report_latest(self, directory: Path) -> None:
        """Report the newest measurements in a state directory again: a process killed between
        commit and print left one that was stored and never reported."""
        with contextlib.suppress(DiskError, codec.WireError):
            for _, line in spool.read_lines(directory, last=LATEST):
                self(codec.decode(line))


def discard_stdout() -> None:
    """Redirect a closed stdout, so that Python does not complain about it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
