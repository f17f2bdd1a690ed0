# SPDX-License-Identifier: Apache-2.0
"""Follows OONI's bucket: lists hours, fetches a few files ahead, and stores their runs in the order
of the hours, each with how far its file has been read, in one transaction.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import IO, NamedTuple, cast

from monitor.follow import schedule
from monitor.follow.bucket import Bucket, FailingFileError, MissingFileError, SourceError
from monitor.follow.contents import KnownForm, Portion, portions
from monitor.follow.layout import (
    DAY_MS,
    HOUR_MS,
    ROOT,
    FileSelection,
    LayoutError,
    SourceFile,
    day_prefix,
    hours_of,
)
from monitor.follow.report import Report
from monitor.follow.unsaved import Unsaved
from monitor.interop.ooni.run import SOURCE
from monitor.interop.ooni.target_index import TargetIndex
from monitor.store.database import Database, StoreRefusedError
from monitor.store.followed import (
    FollowedFile,
    FollowedNews,
    SourceProgress,
    files_of_hour,
    progress_of,
    unfinished_hours,
)
from monitor.store.records import StoreUnavailableError

AHEAD = 24
"""Files that are fetched before their turn."""
AHEAD_BYTES = 32 << 20
"""No more are fetched while these are larger: they may be on a disk in memory."""
IN_MEMORY = 1 << 20
"""Of one of them; larger ones are in a file without a name."""
SMALL_BYTES = 100_000
"""Of a packed file that is read in some ten milliseconds."""
SAVES_SECONDS = 20.0
"""How often the store learns what is waited for, and that this process lives."""
STORE_SECONDS = 2.0
MOST_REFUSALS = 5
"""Of one file that are told; the rest are counted."""


class _Fetched(NamedTuple):
    """A file whose turn comes."""

    file: SourceFile
    before: FollowedFile | None
    """What was read of it."""
    contents: asyncio.Task[IO[bytes] | None]


class FailingFile(NamedTuple):
    """A file that the server fails to give."""

    hour: int
    again: int
    """When it is tried again, Unix milliseconds."""
    text: str
    """Which it is, and how it fails."""


class _HourEnd(NamedTuple):
    hour: int
    exists: bool
    """Whether the bucket has the hour at all."""


@dataclass
class Follower:
    """One source into one store. `now` gives Unix milliseconds."""

    database: Database
    bucket: Bucket
    targets_by_name: TargetIndex
    selection: FileSelection
    since: int
    """The first hour, Unix milliseconds."""
    report: Report
    now: Callable[[], int]
    folder: Path | None = None
    """Where large files are while they are read."""
    failures: Counter[str] = field(default_factory=Counter)
    """By reason, since they were saved."""
    runs: int = 0
    _form: KnownForm = field(default_factory=KnownForm)
    _unsaved: Unsaved = field(default_factory=Unsaved)
    _listed: dict[int, int] = field(default_factory=dict)
    _failing: dict[str, FailingFile] = field(default_factory=dict)
    """By name: what is left out and tried again."""
    _again: set[int] = field(default_factory=set)
    """Hours of an earlier process with a file that is not read to its end."""
    _through: int = 0
    _done: int = 0
    _all: int = 0
    _caught_up: bool = False
    _ahead_bytes: int = 0
    _room: asyncio.Event = field(default_factory=asyncio.Event)
    _saves: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, *, once: bool = False) -> None:
        """Follow for ever, or until everything that is there has been read. Raises SourceError,
        LayoutError and StoreRefusedError, alone or in a group."""
        first = await self._first_hour()
        async with asyncio.TaskGroup() as group:
            saving = group.create_task(self._keep_saving())
            while True:
                await self._pass(self._due(first))
                self._caught_up = True
                await self._save()
                if once:
                    break
                await asyncio.sleep(schedule.LOOKS_SECONDS)
                first = max(first, schedule.hour_of(self.now() - schedule.LATE_MS))
                self._listed = {hour: at for hour, at in self._listed.items() if hour >= first}
            saving.cancel()

    def _due(self, first: int) -> list[int]:
        """The hours to list now, ascending: of the schedule, and of files that failed."""
        now = self.now()
        again = {
            failing.hour for failing in self._failing.values() if now >= failing.again
        } | self._again
        self._again = set()
        return sorted(again | set(schedule.due(first, now, self._listed)))

    async def _first_hour(self) -> int:
        async with self.database.reading() as connection:
            known = [each for each in await progress_of(connection) if each.source == SOURCE]
        before = next(iter(known), None)
        if before is None or before.url != self.bucket.url:
            return schedule.hour_of(self.since)
        saved = before.since, before.through, before.selection
        first = schedule.first_hour(self.since, self.selection.text, saved)
        if first > schedule.hour_of(self.since):
            self._through, self.since = before.through, before.since
            async with self.database.reading() as connection:
                self._again = set(await unfinished_hours(connection, SOURCE))
        return first

    async def _pass(self, hours: list[int]) -> None:
        """List these hours and read what is new in them."""
        self._done, self._all = 0, len(hours)
        self.report.begins()
        self._ahead_bytes = 0
        self._room.set()
        turns: asyncio.Queue[_Fetched | _HourEnd | None] = asyncio.Queue(AHEAD)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._list(hours, turns, group))
            while (turn := await turns.get()) is not None:
                match turn:
                    case _Fetched():
                        await self._read(turn)
                    case _HourEnd(hour, exists):
                        await self._end(hour, exists)
        self.report.clear()

    async def _list(
        self,
        hours: list[int],
        turns: asyncio.Queue[_Fetched | _HourEnd | None],
        group: asyncio.TaskGroup,
    ) -> None:
        anything = False
        for _, mine in groupby(hours, key=lambda hour: hour // DAY_MS):
            some = list(mine)
            present = set(hours_of(await self.bucket.folders(day_prefix(some[0]))))
            anything |= bool(present)
            for hour in some:
                if hour in present:
                    for file, before in await self._new_files(hour):
                        await self._room.wait()
                        self._fetched(file.size)
                        contents = group.create_task(self._fetch(file))
                        await turns.put(_Fetched(file, before, contents))
                await turns.put(_HourEnd(hour, hour in present))
        if not anything and len(hours) > DAY_MS // HOUR_MS:
            await self._refuse_empty_bucket()
        await turns.put(None)

    def _fetched(self, size: int) -> None:
        """So many bytes more (or fewer) are fetched before their turn."""
        self._ahead_bytes += size
        if self._ahead_bytes > AHEAD_BYTES:
            self._room.clear()
        else:
            self._room.set()

    async def _refuse_empty_bucket(self) -> None:
        top = await self.bucket.folders("")
        days = await self.bucket.folders(ROOT)
        newest = f", the newest is {days[-1]}" if days else ""
        raise LayoutError(
            f"{self.bucket.url}: nothing in any of the hours asked for; "
            f"at its top are {' '.join(top[:5]) or 'no folders'}{newest}"
        )

    async def _new_files(self, hour: int) -> list[tuple[SourceFile, FollowedFile | None]]:
        """The files of an hour that have not been read to their end."""
        objects = [
            listed
            for prefix in self.selection.prefixes(hour)
            async for listed in self.bucket.objects(prefix)
        ]
        files = self.selection.files(objects)
        if not files:
            return []
        async with self.database.reading() as connection:
            known = await files_of_hour(connection, SOURCE, hour)
        return [
            (file, known.get(file.name))
            for file in files
            if (before := known.get(file.name)) is None
            or before.version != file.version
            or not before.ended
        ]

    def _file(self) -> IO[bytes]:
        folder = None if self.folder is None else str(self.folder)
        return cast(IO[bytes], tempfile.SpooledTemporaryFile(IN_MEMORY, dir=folder))

    async def _fetch(self, file: SourceFile) -> IO[bytes] | None:
        into = self._file()
        try:
            await self.bucket.fetch(file, into)
        except MissingFileError:
            self._failing.pop(file.name, None)
            self._fail("missing", f"{file.key} was listed and is not there")
            into.close()
            return None
        except FailingFileError as error:
            again = self.now() + schedule.FAILING_AGAIN_MS
            self._failing[file.name] = FailingFile(file.hour, again, f"{file.key}: {error}")
            self._fail("unreadable", f"{file.key} fails: {error}; it is tried again in an hour")
            into.close()
            return None
        except BaseException:
            into.close()
            raise
        return into

    async def _read(self, turn: _Fetched) -> None:
        contents = await turn.contents
        self._fetched(-turn.file.size)
        file, before = turn.file, turn.before
        if contents is None:
            self._leave_out(file, before)
            return
        self._failing.pop(file.name, None)
        skipped = before.lines if before is not None and before.version == file.version else 0
        runs = before.runs if before is not None and skipped else 0
        refused = 0
        with contents:
            read = portions(file, contents, self.targets_by_name, skipped)
            ended = False
            while not ended:
                portion = await self._next(read, file.size)
                if complaint := self._form.complaint(portion):
                    raise SourceError(f"{file.key}: {complaint}")
                ended = portion.ended
                runs += portion.runs
                self.runs += portion.runs
                read_so_far = _followed(file, portion.lines, runs, ended=portion.ended)
                self._unsaved.add(portion.measurements, read_so_far, self.now())
                refused += self._tell(file, portion, refused)
                self.report.progress(file.hour, self._done, self._all, portion.runs)
                if self._unsaved.is_full:
                    await self._save()
        if refused > MOST_REFUSALS:
            self.report.line(f"{file.key}: and {refused - MOST_REFUSALS:,} more refused")

    async def _next(self, read: Iterator[Portion], size: int) -> Portion:
        """The next portion of a file of so many bytes, beside the event loop where it may take
        long. Most files are so small that a thread costs a tenth of what it does."""
        if size > SMALL_BYTES:
            return await asyncio.to_thread(next, read)
        await asyncio.sleep(0)  # downloads have their turn
        return next(read)

    def _leave_out(self, file: SourceFile, before: FollowedFile | None) -> None:
        """Keep in the store that a file fails, so that another process comes back to it."""
        if file.name in self._failing and before is None:
            self._unsaved.note(_followed(file, 0, 0, ended=False), self.now())

    def _tell(self, file: SourceFile, portion: Portion, before: int) -> int:
        """Report what could not be read; return how many lines were refused."""
        for line in portion.refused[: max(0, MOST_REFUSALS - before)]:
            self.report.line(f"{file.key}:{line}")
        if portion.refused:
            self.failures["refused"] += len(portion.refused)
        if portion.broken:
            self._fail(portion.broken, f"{file.key} is {portion.broken}: {portion.lines} lines")
        return len(portion.refused)

    def _fail(self, reason: str, text: str) -> None:
        self.failures[reason] += 1
        self.report.line(text)

    async def _end(self, hour: int, exists: bool) -> None:
        self._done += 1
        self._listed[hour] = self.now()
        if exists:
            self._through = max(self._through, hour + HOUR_MS)
        self.report.progress(hour, self._done, self._all, 0)
        if self._unsaved.files:
            await self._save()

    async def _keep_saving(self) -> None:
        while True:
            await asyncio.sleep(SAVES_SECONDS)
            if not self._saves.locked():
                await self._save(runs=self._unsaved.is_old(self.now()))

    async def _save(self, *, runs: bool = True) -> None:
        """Store what was read, if `runs`, and the place. Waits for the store."""
        async with self._saves:
            await self._save_in_turn(runs=runs)

    async def _save_in_turn(self, *, runs: bool) -> None:
        unsaved = Unsaved()
        if runs:
            unsaved, self._unsaved = self._unsaved, unsaved
        batches, files = unsaved.batches(), unsaved.files
        failures, self.failures = self.failures + self.bucket.failures, Counter()
        self.bucket.failures.clear()
        while True:
            news = FollowedNews(files=files, progress=self._progress(), failures=failures)
            try:
                await self.database.facts.add_followed(batches, SOURCE, news)
            except StoreRefusedError:
                raise
            except StoreUnavailableError as error:
                failures["store"] += 1
                self.report.wait(f"the store: {error}")
                await asyncio.sleep(STORE_SECONDS)
            else:
                return

    def _failing_text(self) -> str:
        if not self._failing:
            return ""
        first, more = next(iter(self._failing.values())), len(self._failing) - 1
        return f"{first.text}" + (f", and {more} more files" if more else "")

    def _progress(self) -> SourceProgress:
        return SourceProgress(
            source=SOURCE,
            url=self.bucket.url,
            selection=self.selection.text,
            since=self.since,
            through=self._through,
            hours_done=self._done,
            hours_all=self._all,
            caught_up=self._caught_up,
            waits=self.report.waits or self._failing_text(),
            updated=self.now(),
        )


def _followed(file: SourceFile, lines: int, runs: int, *, ended: bool) -> FollowedFile:
    return FollowedFile(
        source=SOURCE,
        name=file.name,
        hour=file.hour,
        version=file.version,
        lines=lines,
        runs=runs,
        ended=ended,
    )
