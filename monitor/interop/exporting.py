# SPDX-License-Identifier: Apache-2.0
"""`reachwatch export {ooni,csv,parquet}`: stored and archived measurements as a stream.

No volunteer's address is stored, so none is exported. Exit status 0, or 2 with one line on stderr.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO

from monitor.detection.model import Stored
from monitor.interop.archive import ArchiveError, existing_archive, stream_all
from monitor.interop.flat import COLUMNS, rows
from monitor.interop.licences import licences_of
from monitor.interop.ooni.writing import line
from monitor.interop.parquet import ParquetMissingError, ParquetWriter
from monitor.paths import existing_database_url
from monitor.store.database import Database, StoreRefusedError, open_database
from monitor.store.reading.progress import list_services
from monitor.store.records import Filter, StoreUnavailableError
from probes.runtime.options import nearest
from probes.runtime.progress import ProgressLine
from probes.wire.measurement import service_of

Write = Callable[[Sequence[Stored]], None]


@contextmanager
def writing(form: str, out: BinaryIO) -> Iterator[Write]:
    """Give the function that writes measurements in a format (`ooni`, `csv` or `parquet`). Raises
    ParquetMissingError."""
    match form:
        case "ooni":
            yield lambda part: out.writelines(line(each) + b"\n" for each in part)
        case "csv":
            with _text(out) as text:
                writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\n")
                writer.writeheader()
                yield lambda part: writer.writerows(row for each in part for row in rows(each))
        case _:
            table = ParquetWriter(out)
            try:
                yield lambda part: table.write([row for each in part for row in rows(each)])
            finally:
                table.close()


@contextmanager
def _text(out: BinaryIO) -> Iterator[TextIO]:
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    try:
        yield text
        text.flush()
    finally:
        text.detach()


async def run(
    given: argparse.Namespace, out: BinaryIO | None = None, err: TextIO | None = None
) -> int:
    """Run the command with parsed options; return the exit status."""
    err = err or sys.stderr
    wanted = Filter(
        service=given.service,
        target=given.target,
        country=given.country,
        asn=given.asn,
        since=given.since,
        until=given.until,
    )
    count, sources, progress = 0, set[str](), ProgressLine(err)
    try:
        archive = existing_archive(given)
        async with await open_database(existing_database_url(given)) as database:
            with (
                _opened(given.output, out) as stream,
                writing(given.command.split()[1], stream) as write,
            ):
                async for found in stream_all(database, archive, wanted):
                    part = [one for one in found if one.source not in given.without]
                    write(part)
                    count += len(part)
                    sources.update(one.source for one in part)
                    if given.output is not None:
                        progress.show(f"{count:,} measurements")
            if not count:
                print(f"reachwatch: {await _nothing(database, wanted)}", file=err)
    except (
        StoreRefusedError,
        StoreUnavailableError,
        ParquetMissingError,
        ArchiveError,
    ) as error:
        print(f"reachwatch: {error}", file=err)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        print(f"reachwatch: {given.output or 'standard output'}: {error.strerror}", file=err)
        return 2
    if given.output is not None:
        progress.clear()
        print(f"{count:,} measurements", file=err)
    for licence in licences_of(sources)[1:]:
        print(
            f"reachwatch: with data of {licence.holder}: {licence.name} ({licence.url}); "
            "--without leaves them out",
            file=err,
        )
    return 0


async def _nothing(database: Database, wanted: Filter) -> str:
    """A line for an export without a measurement, with the nearest service that is stored."""
    async with database.reading() as connection:
        services = await list_services(connection)
    chosen = wanted.service or service_of(wanted.target or "")
    hint = nearest(chosen, services) if chosen and chosen not in services else ""
    return f"no stored measurement matches{hint}"


@contextmanager
def _opened(name: Path | None, out: BinaryIO | None) -> Iterator[BinaryIO]:
    if name is None:
        stream = out or sys.stdout.buffer
        yield stream
        stream.flush()
        return
    with name.open("wb") as file:
        yield file
