# SPDX-License-Identifier: Apache-2.0
"""`reachwatch import ooni`: OONI's files into the store, once, with progress.

An invalid row or measurement is reported on stderr and skipped; the others are stored. The same
file again adds nothing. Exit status 0, or 2 when anything was rejected or a file could not be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TextIO

from monitor.interop import files
from monitor.interop.ooni import reading
from monitor.interop.ooni.run import stored
from monitor.interop.ooni.target_index import TargetIndex
from monitor.paths import database_url
from monitor.store.database import Database, StoreRefusedError, open_database
from monitor.store.records import Admitted, StoreUnavailableError
from probes.catalogue.load import CatalogueError, load
from probes.runtime.clock import wall_clock
from probes.runtime.progress import ProgressLine

BATCH = 1000
"""Measurements in one transaction."""
MAX_REPORTED = 100
"""Rejected rows of one file that are reported; the rest are counted."""
MAX_TESTS = 20
"""Tests that are not read and are named."""
_PROGRESS_SECONDS = 0.5


@dataclass
class ImportCounts:
    """What was done with the files."""

    rows: int = 0
    """Valid observation rows."""
    runs: int = 0
    new: int = 0
    known: int = 0
    differing: int = 0
    expired: int = 0
    """Of days that the store has dropped."""
    elsewhere: int = 0
    """Runs without a service of the catalogue."""
    unsupported: dict[str, int] = field(default_factory=dict)
    """Runs of tests that are not read, by test."""
    refused: int = 0
    unreadable: int = 0

    def add_unsupported(self, test: str) -> None:
        """Count a run of a test that is not read. Names come from the file: only some are kept."""
        name = test if len(self.unsupported) < MAX_TESTS or test in self.unsupported else "others"
        self.unsupported[name] = self.unsupported.get(name, 0) + 1

    def summary(self) -> str:
        """One line for a terminal."""
        parts = [
            f"{self.rows:,} observations in {self.runs:,} runs: {self.new:,} measurements new, "
            f"{self.known:,} known"
        ]
        if self.differing:
            parts.append(
                f"{self.differing:,} known with different contents (the first one is kept)"
            )
        if self.expired:
            parts.append(f"{self.expired:,} of days that were dropped (db prune), not stored")
        if self.elsewhere:
            parts.append(f"{self.elsewhere:,} runs for no service in the catalogue")
        if self.unsupported:
            tests = ", ".join(f"{name} {n:,}" for name, n in sorted(self.unsupported.items()))
            parts.append(f"runs of tests that are not supported: {tests}")
        if self.refused:
            parts.append(f"{self.refused:,} refused")
        return "; ".join(parts)


@dataclass
class Importer:
    """An import in progress."""

    database: Database
    targets_by_name: TargetIndex
    err: TextIO
    counts: ImportCounts = field(default_factory=ImportCounts)
    _batch: list[Admitted] = field(default_factory=list)
    line: ProgressLine = field(init=False)

    def __post_init__(self) -> None:
        self.line = ProgressLine(self.err, _PROGRESS_SECONDS)

    async def file(self, name: str) -> None:
        """Import one file. Raises StoreUnavailableError."""
        rejected = line = 0
        try:
            with files.at_hand(name) as path:
                for item in reading.read(partial(files.opened, path), self.targets_by_name):
                    line = item.line
                    match item:
                        case reading.Refusal(reason=reason):
                            self.counts.refused += 1
                            rejected += 1
                            if rejected <= MAX_REPORTED:
                                self._report(f"{name}:{line}: {reason}")
                        case reading.Unsupported(test=test):
                            self.counts.add_unsupported(test)
                        case reading.ImportedRun():
                            await self._add_run(item)
                    self.line.show(f"{name}: line {line:,}, {self.counts.summary()}")
        except files.FileError as error:
            self.counts.unreadable += 1
            self._report(str(error))
        except files.BROKEN as error:
            self.counts.unreadable += 1
            self._report(f"{name}:{line + 1}: cannot be read any further: {error}")
        await self.flush()
        if rejected > MAX_REPORTED:
            self._report(f"{name}: and {rejected - MAX_REPORTED:,} more refused")

    async def _add_run(self, item: reading.ImportedRun) -> None:
        self.counts.rows += item.rows
        self.counts.runs += 1
        self.counts.elsewhere += not item.found
        # One time for all that is stored together, so that it shares batches.
        now = self._batch[0].received if self._batch else wall_clock()
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
            self.counts.new += added.new
            self.counts.known += added.duplicate
            self.counts.differing += added.conflicting
            self.counts.expired += added.expired
            self._batch = []

    def _report(self, line: str) -> None:
        self.line.clear()
        print(f"reachwatch: {line}", file=self.err)


def _unreadable(names: Sequence[str]) -> Iterator[str]:
    """Why files cannot be opened, a line for each of them."""
    for name in names:
        try:
            if name != "-":
                with files.opened(name):
                    pass
        except files.FileError as error:
            yield str(error)
        except files.BROKEN:
            pass  # reported where it is read


async def run(
    given: argparse.Namespace, out: TextIO | None = None, err: TextIO | None = None
) -> int:
    """Run the command with parsed options; return the exit status."""
    out, err = out or sys.stdout, err or sys.stderr
    if len(problems := list(_unreadable(given.files))) == len(given.files):
        print(*(f"reachwatch: {line}" for line in problems), sep="\n", file=err)
        return 2  # no store is created for nothing
    try:
        targets_by_name = TargetIndex(load(given.catalogue))
        async with await open_database(database_url(given)) as database:
            importer = Importer(database, targets_by_name, err)
            for name in given.files:
                await importer.file(name)
    except (CatalogueError, StoreRefusedError, StoreUnavailableError) as error:
        print(f"reachwatch: {error}", file=err)
        return 2
    importer.line.clear()
    print(importer.counts.summary(), file=out)
    if importer.counts.new:
        print("Events are made of them by the detector: reachwatch detect, or up.", file=out)
    return 2 if importer.counts.refused or importer.counts.unreadable else 0
