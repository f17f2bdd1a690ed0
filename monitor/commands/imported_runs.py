# SPDX-License-Identifier: Apache-2.0
"""OONI's runs that a command reads, from files or from a store, each as our measurements of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from monitor.detection.observed.imported_run import ROUND_MS
from monitor.interop import files
from monitor.interop.ooni import reading
from monitor.interop.ooni.conclusions import kept_run
from monitor.interop.ooni.run import SOURCE
from monitor.interop.ooni.target_index import TargetIndex
from monitor.store.database import Database
from monitor.store.reading.measurements import STREAM_CHUNK, stream_measurements
from monitor.store.records import Filter
from probes.wire.measurement import Measurement

Report = Callable[[str], None]
"""Gets a line about what cannot be read."""


class RunSelection(NamedTuple):
    """Which runs are compared; times are Unix milliseconds, the end not included."""

    since: int | None = None
    until: int | None = None
    tests: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()

    def has(self, run: Sequence[Measurement]) -> bool:
        """Whether a run is one of them."""
        first = run[0]
        return (
            (self.since is None or first.started >= self.since)
            and (self.until is None or first.started < self.until)
            and (not self.countries or first.vantage.country in self.countries)
            and (not self.tests or kept_run(first).test_name in self.tests)
        )


def runs_of_file(
    name: str, targets_by_name: TargetIndex, report: Report
) -> Iterator[list[Measurement]]:
    """The runs of a file of OONI's, each as our measurements. What cannot be read is reported."""
    line = 0
    try:
        with files.at_hand(name) as path:
            for item in reading.read(partial(files.opened, path), targets_by_name):
                line = item.line
                match item:
                    case reading.Refusal(reason=reason):
                        report(f"{name}:{line}: {reason}")
                    case reading.ImportedRun(found=found) if found:
                        yield [measurement for measurement, _ in found]
                    case _:
                        pass  # another test, or a site of no service
    except files.FileError as error:
        report(str(error))
    except files.BROKEN as error:
        report(f"{name}:{line + 1}: cannot be read any further: {error}")


async def runs_of_store(
    database: Database, selection: RunSelection, chunk: int = STREAM_CHUNK
) -> AsyncIterator[list[Measurement]]:
    """OONI's runs in a store, each as its measurements, which were stored together. Raises
    StoreUnavailableError."""
    since = None if selection.since is None else selection.since - ROUND_MS
    run: list[Measurement] = []
    last: tuple[int, str, tuple[str, str, str]] | None = None
    parts = stream_measurements(database, Filter(since=since, until=selection.until), chunk)
    async for part in parts:
        for measurement in (stored.measurement for stored in part if stored.source == SOURCE):
            key = measurement.started, measurement.probe, kept_run(measurement).key
            if run and key != last:
                yield run
                run = []
            run.append(measurement)
            last = key
    if run:
        yield run
