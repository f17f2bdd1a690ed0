# SPDX-License-Identifier: Apache-2.0
"""What has been read of the files of public sources, and how far each source is.

A file's row is written in the transaction that stores its measurements: whoever is killed goes on
where the store is. A file that is published anew has another version and is read again from the
beginning; ids of measurements tell what is known of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.store import quarantine, statements
from monitor.store.engines import ReadTransaction
from monitor.store.tables import followed_file, followed_source

RUNS, FAILURES = "follow_runs", "follow_failures"
"""Names in `tally`; the reason is the source, or `SOURCE REASON`."""


class FollowedFile(msgspec.Struct, frozen=True, kw_only=True):
    """How far one file of a source has been read."""

    source: str
    name: str
    """Of the file within its source."""
    hour: int
    """The hour that it was published under, Unix milliseconds."""
    version: str
    """Whatever changes when the file does."""
    lines: int
    runs: int
    ended: bool
    """Whether all that can be read of this version has been."""


class SourceProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a source has been followed. Times are Unix milliseconds."""

    source: str
    url: str
    selection: str
    """Which files are read."""
    since: int
    """The first hour that was asked for."""
    through: int
    """Everything that was published under hours before this one, and was there, is stored."""
    hours_done: int
    hours_all: int
    """Of those listed now."""
    caught_up: bool = False
    waits: str = ""
    """What it waits for, in a line."""
    updated: int

    def lag_ms(self, now: int) -> int:
        """How long ago the last hour was over of which everything is stored."""
        return max(0, now - max(self.through, self.since))


class FollowedNews(msgspec.Struct, frozen=True, kw_only=True):
    """What is saved together with measurements."""

    files: Sequence[FollowedFile] = ()
    progress: SourceProgress | None = None
    failures: Mapping[str, int] = {}
    """By reason, since they were saved last."""

    def __bool__(self) -> bool:
        return bool(self.files or self.progress or self.failures)


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SourceProgress)
_COLUMNS = tuple(column.name for column in followed_file.columns)
_save_file = statements.upsert(followed_file)
_save_source = statements.upsert(followed_source)


async def record(connection: AsyncConnection, source: str, news: FollowedNews) -> None:
    """Save it. A run that was counted in a file's earlier version is not counted again."""
    counts: Counter[tuple[str, str]] = Counter()
    if news.files:
        latest = {file.name: file for file in news.files}
        before = await _rows(connection, source, sorted(latest))
        more = sum(
            max(0, file.runs - (before[name].runs if name in before else 0))
            for name, file in latest.items()
        )
        counts[RUNS, source] += more
        rows = [{name: getattr(file, name) for name in _COLUMNS} for file in latest.values()]
        await connection.execute(_save_file, rows)
    for reason, number in news.failures.items():
        counts[FAILURES, f"{source} {reason}"] += number
    if news.progress is not None:
        body = _encoder.encode(news.progress)
        await connection.execute(_save_source, {"source": source, "body": body})
    await quarantine.add_to_counters(connection, {key: n for key, n in counts.items() if n})


async def _rows(
    connection: AsyncConnection, source: str, names: Sequence[str]
) -> dict[str, FollowedFile]:
    f = followed_file.c
    files: dict[str, FollowedFile] = {}
    for some in statements.chunks(names):
        query = sa.select(followed_file).where(f.source == source, f.name.in_(some))
        for row in await connection.execute(query):
            files[row.name] = FollowedFile(**row._mapping)
    return files


async def files_of_hour(
    connection: ReadTransaction, source: str, hour: int
) -> dict[str, FollowedFile]:
    """What has been read of the files of one hour, by name."""
    f = followed_file.c
    query = sa.select(followed_file).where(f.source == source, f.hour == hour)
    rows = await connection.execute(query)
    return {row.name: FollowedFile(**row._mapping) for row in rows}


async def unfinished_hours(connection: ReadTransaction, source: str) -> Sequence[int]:
    """The hours of files that are not read to their end, ascending."""
    f = followed_file.c
    query = sa.select(f.hour).where(f.source == source, f.ended.is_(False)).distinct()
    return (await connection.execute(query.order_by(f.hour))).scalars().all()


async def progress_of(connection: ReadTransaction) -> tuple[SourceProgress, ...]:
    """How far each source has been followed, ordered by its name."""
    query = sa.select(followed_source.c.body).order_by(followed_source.c.source)
    return tuple(
        _decoder.decode(bytes(body)) for body in (await connection.execute(query)).scalars()
    )


async def forget_before(connection: AsyncConnection, hour: int) -> None:
    """Drop the files of hours before this one: their measurements are not stored again."""
    await connection.execute(sa.delete(followed_file).where(followed_file.c.hour < hour))
