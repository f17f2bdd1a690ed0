# SPDX-License-Identifier: Apache-2.0
"""The measurements of a day as files that anybody downloads: OONI JSON Lines and Parquet, with a
manifest of their SHA-256.

    DIR/2026-11-27/measurements.jsonl.gz     one measurement a line, as OONI's JSON
    DIR/2026-11-27/measurements.parquet      one observation a row, OONI's columns (extra `parquet`)
    DIR/2026-11-27/ooni.jsonl.gz             the same of what was imported from OONI, and
    DIR/2026-11-27/ooni.parquet              under its licence
    DIR/2026-11-27/manifest.json             counts; licence, bytes and SHA-256 of each

Files are made when they are first asked for, one day at a time, a batch of measurements at a time,
and are kept until measurements of their day arrive or room is needed. Days that were archived and
dropped are read from the archive. The same measurements in the same order give the same bytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import importlib.util
import json
import logging
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec

import monitor
from monitor.detection.judge.known_verdicts import read_line
from monitor.detection.model import Stored
from monitor.interop.archive import Archive, ArchiveError, stored_line
from monitor.interop.files import sha256_of
from monitor.interop.flat import rows
from monitor.interop.forms import LICENCE
from monitor.interop.licences import OTHERS, Licence, licence_of
from monitor.interop.ooni.writing import line
from monitor.interop.parquet import ParquetMissingError, ParquetWriter
from monitor.store.database import Database
from monitor.store.days import DAY_MS, date_of
from monitor.store.reading.days import (
    DayMeasurement,
    MissingLinesError,
    dropped_before,
    list_days,
    stream_day,
)
from monitor.store.records import StoreUnavailableError
from monitor.web.background import Background

log = logging.getLogger(__name__)
_T = TypeVar("_T")
_R = TypeVar("_R")
OWN = "measurements"
"""What names of files of our own measurements begin with; those of others, with their source."""
LINES, TABLE, MANIFEST = f"{OWN}.jsonl.gz", f"{OWN}.parquet", "manifest.json"
VERSION = 2
REMAKE_MS = 600_000
"""Files of a day that still receives measurements are made again after this time at the earliest,
Unix ms."""
WAIT_SECONDS = 20.0
"""A request waits this long for files that are being made."""
MAX_BYTES = 8 << 30
"""Of all files that are kept; those that were asked for longest ago go first."""
MIN_FREE_BYTES = 256 << 20
"""Nothing is written to a disk with less room."""
LEVEL = 6
"""Of gzip."""
ROW_GROUP = 10_000
"""Rows of a Parquet file that are in memory at once."""


class Day(msgspec.Struct, frozen=True):
    """One day of which there are measurements."""

    day: int
    """Days since 1970."""
    measurements: int
    complete: bool
    """The day is over, and all that was received of it is there."""
    archived: bool
    """It is read from the archive."""


class NotNowError(Exception):
    """The files cannot be given at the moment; one line."""


class DayFiles:
    """The files of one server."""

    def __init__(
        self, database: Database, directory: Path, archive: Path, clock: Callable[[], int]
    ) -> None:
        """`archive` need not exist. Nothing is written before the first request."""
        self._database, self._directory, self._clock = database, directory, clock
        self._archive = archive
        self.has_tables = importlib.util.find_spec("pyarrow") is not None
        """Whether Parquet can be written."""
        self._making: tuple[int, asyncio.Future[None]] | None = None

    async def days(self) -> Mapping[int, Day]:
        """All days, oldest first. Raises StoreUnavailableError, NotNowError."""
        async with self._database.reading() as connection:
            stored = await list_days(connection)
            dropped = await dropped_before(connection)
        today = self._clock() // DAY_MS
        archived = {} if (archive := self._opened()) is None else await _archived_days(archive)
        found = {
            day: Day(day, n, complete=day < today and day * DAY_MS >= dropped, archived=False)
            for day, n in stored
        }
        for day, n in archived.items():
            if (day + 1) * DAY_MS <= dropped:
                found[day] = Day(day, n, complete=True, archived=True)
        return dict(sorted(found.items()))

    def _opened(self) -> Archive | None:
        if not self._archive.is_dir():
            return None
        try:
            return Archive(self._archive)
        except ParquetMissingError:
            return None

    async def manifest(self, day: int, background: Background) -> Mapping[str, Any] | None:
        """The manifest of a day, whose files are made if need be, behind the request; None of a
        day without measurements. Raises StoreUnavailableError, NotNowError."""
        known = (await self.days()).get(day)
        if known is None:
            return None
        made = self._read(day)
        if made is not None and (
            (made["measurements"] == known.measurements and made["complete"] == known.complete)
            or self._clock() - made["made_ms"] < REMAKE_MS
        ):
            return made
        try:
            await self._wait_for(known, background)
        except NotNowError:
            if made is None:
                raise
        return self._read(day) or made

    async def _wait_for(self, known: Day, background: Background) -> None:
        making = self._making
        if making is None:
            making = known.day, asyncio.get_running_loop().create_future()
            self._making = making
            work = functools.partial(self._work, known, making[1])
            if not background.start(work):
                await work()
        day, made = making
        if day != known.day:
            raise NotNowError("The files of another day are being made; try again in a minute.")
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await asyncio.shield(made)
        except TimeoutError:
            reason = "The files of this day are being made; try again in a minute."
            raise NotNowError(reason) from None

    async def _work(self, known: Day, made: asyncio.Future[None]) -> None:
        """Make the files of a day; whoever waits for them learns of it by the future."""
        try:
            await self._make(known)
        except (ArchiveError, MissingLinesError, StoreUnavailableError, OSError) as error:
            log.warning("the files of %s cannot be created: %s", date_of(known.day), error)
            made.set_exception(NotNowError("The files of this day cannot be made at the moment."))
            made.exception()  # nobody may be waiting any more
        else:
            made.set_result(None)
        finally:
            made.cancel()
            self._making = None

    def path(self, day: int, name: str) -> Path:
        """Where a file of a day is, or would be."""
        return self._directory / date_of(day).isoformat() / name

    def _read(self, day: int) -> dict[str, Any] | None:
        """The manifest as it was written; None where there is none that this version wrote."""
        path = self.path(day, MANIFEST)
        try:
            made: dict[str, Any] = json.loads(path.read_bytes())
            os.utime(path)  # asked for now
        except (OSError, ValueError):
            return None
        return made if made.get("version") == VERSION else None

    async def _make(self, known: Day) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in self._directory.glob(".making-*"):
            if left.stat().st_mtime < self._clock() / 1000 - 86_400:  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=".making-", dir=self._directory) as name:
            folder = Path(name)
            count = 0
            with _Writers(folder) as writers:
                async with contextlib.aclosing(self._measurements(known)) as found:
                    async for some in found:
                        if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
                            raise OSError("not enough space on the disk")
                        count += await _to_its_end(writers.write, some)
            await asyncio.to_thread(self._publish, folder, known, count)

    async def _measurements(self, known: Day) -> AsyncGenerator[Sequence[DayMeasurement], None]:
        first, last = known.day * DAY_MS, (known.day + 1) * DAY_MS - 1
        archive = self._opened() if known.archived else None
        if archive is None:
            async with contextlib.aclosing(stream_day(self._database, known.day)) as found:
                async for some in found:
                    yield some
            return
        with contextlib.closing(archive.measurements(known.day, first, last)) as parts:
            while part := await asyncio.to_thread(next, parts, None):
                yield part

    def _publish(self, folder: Path, known: Day, count: int) -> None:
        manifest = {
            "version": VERSION,
            "day": date_of(known.day).isoformat(),
            "measurements": known.measurements,
            "exported": count,
            "complete": known.complete,
            "licence": LICENCE,
            "reachwatch": monitor.__version__,
            "made_ms": self._clock(),
            "files": [
                {
                    "name": path.name,
                    "licence": licence_of(path.name.partition(".")[0]).id,
                    "bytes": path.stat().st_size,
                    "sha256": sha256_of(path),
                }
                for path in sorted(folder.iterdir())
            ],
        }
        place = self.path(known.day, "")
        place.mkdir(mode=0o700, exist_ok=True)
        (place / MANIFEST).unlink(missing_ok=True)  # never beside files that it does not describe
        for path in list(folder.iterdir()):
            path.replace(place / path.name)
        written = folder / MANIFEST
        written.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        written.replace(place / MANIFEST)
        self._make_room(place)

    def _make_room(self, kept: Path) -> None:
        """Remove what was asked for longest ago, until the rest is small enough."""

        def age(path: Path) -> float:
            return (path / MANIFEST).stat().st_mtime if (path / MANIFEST).exists() else 0.0

        days = sorted(self._directory.glob("????-??-??"), key=age)
        size = {day: sum(path.stat().st_size for path in day.iterdir()) for day in days}
        for day in days:
            if sum(size.values()) <= MAX_BYTES:
                return
            if day != kept:
                shutil.rmtree(day)
                del size[day]


async def _to_its_end(function: Callable[[_T], _R], argument: _T) -> _R:
    """Call a function in a thread. When the task is cancelled, wait for it all the same: a thread
    cannot be stopped, and what it writes to must not be closed meanwhile."""
    running = asyncio.get_running_loop().run_in_executor(None, function, argument)
    try:
        return await asyncio.shield(running)
    finally:
        await asyncio.wait((running,))


class _Files:
    """The two files of what comes under one licence."""

    def __init__(self, folder: Path, name: str, stack: contextlib.ExitStack) -> None:
        packed: IO[bytes] = stack.enter_context((folder / f"{name}.jsonl.gz").open("wb"))
        self._lines = stack.enter_context(
            gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0, compresslevel=LEVEL)
        )
        self._table = stack.enter_context(_table(folder / f"{name}.parquet", licence_of(name)))

    def write(self, read: Sequence[Stored]) -> None:
        self._lines.writelines(line(one) + b"\n" for one in read)
        if self._table is not None:
            self._table.write([row for one in read for row in rows(one)])


class _Writers:
    """Writes measurements to the files of a day, those of each licence apart."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, contextlib.ExitStack()
        self._files: dict[str, _Files] = {}

    def __enter__(self) -> _Writers:
        self._of(OWN)  # a day without a measurement of ours has files without a line
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def write(self, some: Sequence[DayMeasurement]) -> int:
        """Write what can be read; return how many that is."""
        read = [one for row in some if (one := read_line(stored_line(row))) is not None]
        apart: dict[str, list[Stored]] = {}
        for one in read:
            apart.setdefault(one.source if one.source in OTHERS else OWN, []).append(one)
        for name, mine in apart.items():
            self._of(name).write(mine)
        return len(read)

    def _of(self, name: str) -> _Files:
        if name not in self._files:
            self._files[name] = _Files(self._folder, name, self._stack)
        return self._files[name]


@contextlib.contextmanager
def _table(path: Path, licence: Licence) -> Iterator[ParquetWriter | None]:
    """A Parquet file; None where pyarrow is not installed."""
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(path.open("wb"))
        try:
            writer = ParquetWriter(out, ROW_GROUP, licence.url)
        except ParquetMissingError:
            path.unlink()
            yield None
            return
        stack.callback(writer.close)
        yield writer


async def _archived_days(archive: Archive) -> Mapping[int, int]:
    try:
        days = await asyncio.to_thread(archive.days)
    except ArchiveError as error:
        log.warning("%s", error)
        raise NotNowError("The archive cannot be read at the moment.") from None
    return {day: int(one["measurements"]) for day, one in days.items()}
