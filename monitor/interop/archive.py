# SPDX-License-Identifier: Apache-2.0
"""Days of measurements as Parquet, with their lines as sent and their verdicts in the API's form.

    DIR/day=2026-11-27/measurements-<hash>.parquet     rows in order of their rounds
    DIR/day=2026-11-27/manifest.json                   counts; name and SHA-256 of the file

A day is archived when its manifest is there, which is replaced at one moment. A day that is
archived again keeps what it had, and what is new is added.
Needs pyarrow (extra `parquet`).
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import tempfile
from collections.abc import AsyncGenerator, Collection, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

import monitor
from monitor.detection.judge.known_verdicts import read_line
from monitor.detection.model import Stored, StoredLine, Verdict
from monitor.interop.files import sha256_of
from monitor.interop.forms import LICENCE_URL
from monitor.interop.parquet import pyarrow
from monitor.paths import ARCHIVE, DEFAULT_DATA
from monitor.store.database import Database
from monitor.store.days import DAY_MS, date_of, day_from, day_of
from monitor.store.facts import FactStore
from monitor.store.reading.days import (
    DayMeasurement,
    MissingLinesError,
    dropped_before,
    stream_day,
)
from monitor.store.reading.measurements import stream_measurements
from monitor.store.records import Filter, StoredRound
from probes.wire.measurement import Role

MANIFEST = "manifest.json"
PREFIX = "day="
VERSION = 1
ROW_GROUP = 10_000
"""Rows that are read at once: some 20 MB of lines."""
LEVEL = 9
"""Of zstd: a fifth smaller than level 3, for 14 µs more a measurement."""
_TEXTS = ("id", "probe", "owner", "role", "source", "target", "service", "country")
_TIMES = ("received", "round", "started")
_NUMBERS = ("arrival", "enrolled", "asn", "interval_ms")
_SAID = ("state", "layer", "technique", "rule", "verdict")
COLUMNS = (*_TIMES, *_TEXTS, *_NUMBERS, *_SAID, "line", "raw")
"""Columns of an archived day."""


class ArchiveError(Exception):
    """A day cannot be archived, or an archived day cannot be read; one line."""


class Archive:
    """A directory of archived days. Every method raises ArchiveError."""

    def __init__(self, directory: Path) -> None:
        """Raises ParquetMissingError."""
        self.directory = directory
        self._pa, self._parquet = pyarrow("the archive")
        kinds = {
            **dict.fromkeys(_TIMES, self._pa.timestamp("ms", tz="UTC")),
            **dict.fromkeys(_NUMBERS, self._pa.int64()),
            "raw": self._pa.binary(),
        }
        self._schema = self._pa.schema(
            [(name, kinds.get(name, self._pa.string())) for name in COLUMNS],
            metadata={"licence": LICENCE_URL},
        )

    def days(self) -> dict[int, Mapping[str, Any]]:
        """Manifest by day, oldest first."""
        found: dict[int, Mapping[str, Any]] = {}
        for path in sorted(self.directory.glob(f"{PREFIX}*/{MANIFEST}")):
            with _readable(path):
                day = day_from(dt.date.fromisoformat(path.parent.name.removeprefix(PREFIX)))
            found[day] = self._manifest(day)
        return found

    def _manifest(self, day: int) -> Mapping[str, Any]:
        path = self._place(day) / MANIFEST
        with _readable(path):
            found: Mapping[str, Any] = json.loads(path.read_bytes())
        if found.get("version") != VERSION:
            raise ArchiveError(f"{path}: version {found.get('version')}; upgrade Reachwatch")
        return found

    def verify(self, day: int) -> None:
        """Compare the file of a day with its manifest."""
        for file in self._manifest(day)["files"]:
            path = self._place(day) / file["name"]
            with _readable(path):
                if sha256_of(path) != file["sha256"]:
                    raise ArchiveError(f"{path}: differs from its manifest")

    async def write(self, database: Database, day: int) -> int:
        """Archive a day of the store; return how many measurements the archive has of it. A day
        that is archived already is verified, and what it does not have is added. Raises
        StoreUnavailableError."""
        there: set[str] = set()
        place = self._place(day)
        if (place / MANIFEST).exists():
            self.verify(day)
            there = {row for part in self._parts(day, ["id"]) for row in part.column("id")}
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".archiving-", dir=place) as name:
                made = Path(name, "measurements.parquet")
                added = await self._write_file(made, database, day, there)
                if added:
                    self._publish(made, day, len(there) + added)
        except OSError as error:
            raise ArchiveError(f"{place}: {error.strerror or error}") from None
        except MissingLinesError as error:
            raise ArchiveError(f"{place}: {error}") from None
        return len(there) + added

    async def _write_file(
        self, path: Path, database: Database, day: int, there: Collection[str]
    ) -> int:
        """Write what the archive has, and what the store has besides; return how many are new."""
        added = 0
        waiting: list[DayMeasurement] = []
        with self._parquet.ParquetWriter(
            path,
            self._schema,
            compression="zstd",
            compression_level=LEVEL,
            use_dictionary=[*_TEXTS[1:], *_SAID, "enrolled", "asn", "interval_ms"],
        ) as writer:
            if there:
                for part in self._parts(day, list(COLUMNS), as_tables=True):
                    writer.write_table(part)
            async with contextlib.aclosing(stream_day(database, day)) as found:
                async for some in found:
                    new = [one for one in some if one.id not in there] if there else some
                    waiting += new
                    added += len(new)
                    if len(waiting) >= ROW_GROUP:
                        writer.write_table(self._table(waiting), ROW_GROUP)
                        waiting = []
            if waiting:
                writer.write_table(self._table(waiting), ROW_GROUP)
        return added

    def _table(self, rows: Sequence[DayMeasurement]) -> Any:
        forms: dict[int, str] = {}
        columns: dict[str, list[Any]] = {
            name: [getattr(row, name) for row in rows] for name in (*_TIMES, *_TEXTS, *_NUMBERS)
        }
        said = [row.verdict for row in rows]
        for name in ("state", "layer", "technique"):
            columns[name] = [_value(one, name) for one in said]
        columns["rule"] = [one and one.rule for one in said]
        columns["verdict"] = [one and _form_of(one, forms) for one in said]
        columns["line"] = [_text(row.line) for row in rows]
        columns["raw"] = [
            None if text is not None else row.line
            for row, text in zip(rows, columns["line"], strict=True)
        ]
        return self._pa.Table.from_pydict(columns, schema=self._schema)

    def _publish(self, made: Path, day: int, count: int) -> None:
        """Put a new file of a day in its place, and remove what it replaces."""
        digest = sha256_of(made)
        name = f"measurements-{digest[:12]}.parquet"
        manifest = {
            "version": VERSION,
            "day": date_of(day).isoformat(),
            "measurements": count,
            "reachwatch": monitor.__version__,
            "files": [{"name": name, "bytes": made.stat().st_size, "sha256": digest}],
        }
        written = made.with_name(MANIFEST)
        written.write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
        _to_disk(made)
        _to_disk(written)
        place = self._place(day)
        made.rename(place / name)
        _to_disk(place)
        written.rename(place / MANIFEST)
        _to_disk(place)
        _to_disk(place.parent)
        for other in place.glob("*.parquet"):
            if other.name != name:
                other.unlink()

    def _place(self, day: int) -> Path:
        return self.directory / f"{PREFIX}{date_of(day).isoformat()}"

    def _parts(
        self,
        day: int,
        columns: Sequence[str],
        *,
        as_tables: bool = False,
        wanted: tuple[int, int] | None = None,
    ) -> Iterator[Any]:
        """Row groups of a day that may have rows of the `wanted` (first, last) rounds."""
        for each in self._manifest(day)["files"]:
            path = self._place(day) / each["name"]
            with _readable(path), self._parquet.ParquetFile(path) as file:
                index = file.schema_arrow.get_field_index("round")
                for number in range(file.num_row_groups):
                    known = file.metadata.row_group(number).column(index).statistics
                    if wanted is None or (
                        _milliseconds(known.min) <= wanted[1]
                        and _milliseconds(known.max) >= wanted[0]
                    ):
                        table = file.read_row_group(number, columns=list(columns))
                        yield table if as_tables else _Columns(self._pa, table)

    def measurements(
        self, day: int, first_round: int, last_round: int
    ) -> Generator[Sequence[DayMeasurement]]:
        """Measurements of a day, of rounds first..last (both included), without their verdicts."""
        names = [name for name in COLUMNS if name not in _SAID]
        for part in self._parts(day, names, wanted=(first_round, last_round)):
            rounds = part.column("round")
            chosen = [n for n, at in enumerate(rounds) if first_round <= at <= last_round]
            if not chosen:
                continue
            columns = {name: part.column(name) for name in names}
            made = []
            for n in chosen:
                values = {name: column[n] for name, column in columns.items()}
                raw, line = values.pop("raw"), values.pop("line")
                made.append(DayMeasurement(**values, line=raw if line is None else line.encode()))
            yield made


class _Columns:
    """Columns of a table as lists; times as Unix milliseconds."""

    def __init__(self, arrow: Any, table: Any) -> None:
        self._arrow, self._table = arrow, table

    def column(self, name: str) -> list[Any]:
        """One column."""
        found = self._table.column(name)
        if name in _TIMES:
            found = found.cast(self._arrow.int64())
        return list(found.to_pylist())


class ArchivedFacts:
    """The lines and rounds of a store, and those of the days that were archived and dropped. As
    `FactStore`, for whoever reads the past."""

    def __init__(self, facts: FactStore, archive: Archive, dropped: int) -> None:
        """Rounds before `dropped` are read from the archive, where it has their day."""
        self._facts, self._archive = facts, archive
        self.days = sorted(day for day in archive.days() if (day + 1) * DAY_MS <= dropped)
        self._index: dict[int, list[tuple[str, StoredRound]]] = {}

    async def rounds(self, after: int, service: str | None = None) -> Sequence[StoredRound]:
        """As `FactStore.rounds`."""
        found = {one.round: one for one in await self._facts.rounds(after, service)}
        for day in self.days:
            for name, one in self._rounds_of(day):
                if one.round > after and service in (None, name):
                    found[one.round] = _together(one, found.get(one.round))
        return [found[at] for at in sorted(found)]

    def _rounds_of(self, day: int) -> list[tuple[str, StoredRound]]:
        """Each round of a day, by service."""
        if day not in self._index:
            rounds: dict[tuple[str, int], StoredRound] = {}
            for part in self._archive._parts(day, ["service", "round", "interval_ms"]):
                for service, at, interval in zip(
                    part.column("service"),
                    part.column("round"),
                    part.column("interval_ms"),
                    strict=True,
                ):
                    key = service, at
                    rounds[key] = _together(StoredRound(at, interval, 1), rounds.get(key))
            self._index[day] = [(service, one) for (service, _), one in rounds.items()]
        return self._index[day]

    async def lines(
        self,
        first_round: int,
        last_round: int,
        services: Collection[str],
        role: Role,
        after: int = 0,
    ) -> AsyncGenerator[Sequence[StoredLine], None]:
        """As `FactStore.lines`."""
        here = {day for day in self.days if day_of(first_round) <= day <= day_of(last_round)}
        for day in sorted(here):
            for some in self._archive.measurements(day, first_round, last_round):
                chosen = [one for one in some if one.role == role and one.service in services]
                if new := [stored_line(one) for one in chosen if not after or one.arrival > after]:
                    yield new
        for first, last in _gaps(first_round, last_round, here):
            there = self._facts.lines(first, last, services, role, after)
            async with contextlib.aclosing(there) as found:
                async for stored in found:
                    yield stored


def _together(one: StoredRound, other: StoredRound | None) -> StoredRound:
    if other is None:
        return one
    longest = max(one.interval, other.interval)
    return StoredRound(one.round, longest, one.measurements + other.measurements)


def _gaps(first: int, last: int, days: Collection[int]) -> Iterator[tuple[int, int]]:
    """The parts of a period that are in none of these days."""
    for day in sorted(days):
        if first < day * DAY_MS:
            yield first, min(last, day * DAY_MS - 1)
        first = max(first, (day + 1) * DAY_MS)
    if first <= last:
        yield first, last


def existing_archive(given: argparse.Namespace) -> Archive | None:
    """The archive of `--archive`, else the one in the data directory, if there is any. Raises
    ArchiveError, ParquetMissingError."""
    if given.archive is None:
        own = (given.data or DEFAULT_DATA) / ARCHIVE
        return Archive(own) if not given.database and own.is_dir() else None
    if not given.archive.is_dir():
        raise ArchiveError(f"{given.archive}: no such directory")
    return Archive(given.archive)


async def with_archive(database: Database, archive: Archive | None) -> FactStore | ArchivedFacts:
    """What a reader of the past reads."""
    if archive is None:
        return database.facts
    async with database.reading() as connection:
        dropped = await dropped_before(connection)
    return ArchivedFacts(database.facts, archive, dropped)


async def stream_all(
    database: Database, archive: Archive | None, chosen: Filter
) -> AsyncGenerator[Sequence[Stored], None]:
    """As `stream_measurements`; first what is archived and was dropped."""
    days: set[int] = set()
    if archive is not None:
        async with database.reading() as connection:
            dropped = await dropped_before(connection)
        days.update(day for day in archive.days() if (day + 1) * DAY_MS <= dropped)
        first = 0 if chosen.since is None else chosen.since
        last = 2**62 if chosen.until is None else chosen.until
        for day in sorted(days):
            for some in archive.measurements(day, first, last):
                lines = [stored_line(one) for one in some if passes(one, chosen)]
                decoded = [one for line in lines if (one := read_line(line)) is not None]
                if decoded:
                    yield decoded
    async for part in stream_measurements(database, chosen):
        # Of an archived day the store has kept evidence of events.
        kept = [one for one in part if day_of(one.measurement.round) not in days]
        if kept:
            yield kept


def stored_line(one: DayMeasurement) -> StoredLine:
    """The line of an archived measurement, as the store gives its own."""
    return StoredLine(
        arrival=one.arrival,
        line=one.line,
        owner=one.owner,
        role=Role(one.role),
        enrolled=one.enrolled,
        source=one.source,
        received=one.received,
    )


def passes(one: DayMeasurement, chosen: Filter) -> bool:
    """Whether a measurement passes a filter; `since` and `until` are rounds, both included."""
    return all(
        wanted is None or wanted == has
        for wanted, has in (
            (chosen.service, one.service),
            (chosen.target, one.target),
            (chosen.country, one.country),
            (chosen.asn, one.asn),
        )
    )


def _value(one: Verdict | None, name: str) -> str | None:
    found = None if one is None else getattr(one, name)
    return None if found is None else found.value


def _form_of(one: Verdict, forms: dict[int, str]) -> str:
    """A verdict in the API's form; most rows share one."""
    if id(one) not in forms:
        forms[id(one)] = msgspec.json.encode(one.form()).decode()
    return forms[id(one)]


def _text(line: bytes) -> str | None:
    """A line as text; None where it is none, which admission does not check of what it does not
    read."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return None


def _milliseconds(moment: Any) -> int:
    found: int = round(moment.timestamp() * 1000)
    return found


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Raise what goes wrong with a file as ArchiveError."""
    try:
        yield
    except (OSError, ValueError, KeyError) as error:
        raise ArchiveError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
