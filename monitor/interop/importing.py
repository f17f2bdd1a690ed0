# SPDX-License-Identifier: Apache-2.0
"""`reachwatch import ooni`: other people's files into the store, once, with progress.

A row or measurement that is wrong is named on stderr and left out; the others go in. The same
file again adds nothing. Exit status 0, or 2 when anything was refused or a file could not be read.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TextIO

from monitor.interop import files
from monitor.interop.ooni import reading
from monitor.interop.ooni.names import Atlas
from monitor.interop.ooni.run import stored
from monitor.paths import database_url
from monitor.store.database import Database, StoreRefusedError, open_database
from monitor.store.records import Admitted, StoreUnavailableError
from probes.catalogue.load import CatalogueError, load
from probes.runtime.clock import wall_clock

BATCH = 1000
"""Measurements in one transaction."""
MAX_TOLD = 100
"""Refusals of one file that are named one by one; the rest are counted."""
_TELL_SECONDS = 0.5


@dataclass
class Tally:
    """What became of the files."""

    rows: int = 0
    """Observation rows that were understood."""
    runs: int = 0
    new: int = 0
    known: int = 0
    differing: int = 0
    elsewhere: int = 0
    """Runs that saw no service of the catalogue."""
    refused: int = 0
    unreadable: int = 0

    def told(self) -> str:
        """One line for people."""
        parts = [
            f"{self.rows:,} observations in {self.runs:,} runs: {self.new:,} measurements new, "
            f"{self.known:,} known"
        ]
        if self.differing:
            parts.append(f"{self.differing:,} known with other contents (the first stays)")
        if self.elsewhere:
            parts.append(f"{self.elsewhere:,} runs of no service in the catalogue")
        if self.refused:
            parts.append(f"{self.refused:,} refused")
        return "; ".join(parts)


@dataclass
class Importing:
    """An import that is going on."""

    database: Database
    atlas: Atlas
    err: TextIO
    tally: Tally = field(default_factory=Tally)
    _batch: list[Admitted] = field(default_factory=list)
    _told_at: float = 0.0
    _shown: bool = False

    async def file(self, name: str) -> None:
        """Take one file. Raises StoreUnavailableError."""
        told = line = 0
        try:
            with files.at_hand(name) as path:
                for item in reading.read(partial(files.opened, path), self.atlas):
                    line = item.line
                    match item:
                        case reading.Refusal(reason=reason):
                            self.tally.refused += 1
                            told += 1
                            if told <= MAX_TOLD:
                                self._say(f"{name}:{line}: {reason}")
                        case reading.Taken():
                            await self._take(item)
                    self._progress(name, line)
        except files.FileError as error:
            self.tally.unreadable += 1
            self._say(str(error))
        except files.BROKEN as error:
            self.tally.unreadable += 1
            self._say(f"{name}:{line + 1}: cannot be read on: {error}")
        await self.flush()
        if told > MAX_TOLD:
            self._say(f"{name}: and {told - MAX_TOLD:,} more refused")

    async def _take(self, item: reading.Taken) -> None:
        self.tally.rows += item.rows
        self.tally.runs += 1
        self.tally.elsewhere += not item.found
        now = wall_clock()
        self._batch += [
            Admitted(stored=stored(measurement), line=line, received=now)
            for measurement, line in item.found
        ]
        if len(self._batch) >= BATCH:
            await self.flush()

    async def flush(self) -> None:
        """Store what has been read. Raises StoreUnavailableError."""
        if self._batch:
            added = await self.database.facts.add(self._batch, ())
            self.tally.new += added.new
            self.tally.known += added.duplicate
            self.tally.differing += added.conflicting
            self._batch = []

    def _progress(self, name: str, line: int) -> None:
        now = time.monotonic()
        if self.err.isatty() and now - self._told_at >= _TELL_SECONDS:
            self._told_at, self._shown = now, True
            self.err.write(f"\r{name}: line {line:,}, {self.tally.told()}\x1b[K")
            self.err.flush()

    def _say(self, line: str) -> None:
        if self._shown:
            self.err.write("\r\x1b[K")
        print(f"reachwatch: {line}", file=self.err)


async def run(
    given: argparse.Namespace, out: TextIO | None = None, err: TextIO | None = None
) -> int:
    """Run the command with parsed options; its exit status."""
    out, err = out or sys.stdout, err or sys.stderr
    try:
        atlas = Atlas(load(given.catalogue))
        database = await open_database(database_url(given))
        try:
            importing = Importing(database, atlas, err)
            for name in given.files:
                await importing.file(name)
        finally:
            await database.close()
    except (CatalogueError, StoreRefusedError, StoreUnavailableError) as error:
        print(f"reachwatch: {error}", file=err)
        return 2
    if importing._shown:
        err.write("\r\x1b[K")
    print(importing.tally.told(), file=out)
    return 2 if importing.tally.refused or importing.tally.unreadable else 0
