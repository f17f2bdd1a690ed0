# SPDX-License-Identifier: Apache-2.0
"""All measurements of an event as one file: `/e/ID/measurements.csv`, `.jsonl` and `.parquet`. Each
row is one of the API's, with its own time, whether it counted, and if not, why. With `?source=own`,
what others published is left out. The header DROPPED says when retention dropped some.

Rows are written as they are read, some at a time, each part in a transaction of its own.
"""

from __future__ import annotations

import asyncio
import functools
import importlib.util
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import IO, Any

import msgspec
from aiohttp import web
from msgspec.structs import replace

from monitor.interop.forms import COLUMNS, as_csv, judged_form
from monitor.interop.licences import link_header
from monitor.interop.parquet import ParquetMissingError, pyarrow
from monitor.store.reading.days import dropped_since
from monitor.store.reading.measurements import list_judged
from monitor.store.records import Filter
from monitor.text import words
from monitor.web.answers import DROPPED, PUBLIC
from monitor.web.moment import name_moment, reading, site_of
from monitor.web.params import chosen
from monitor.web.site import Site
from monitor.web.views import known_event, measurements_of

ROWS = 1000
"""Read in one transaction."""
KINDS = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
Rows = Sequence[Mapping[str, Any]]


@functools.cache
def has_tables() -> bool:
    """Whether Parquet can be written here."""
    return importlib.util.find_spec("pyarrow") is not None


async def file(request: web.Request) -> web.StreamResponse:
    """One of the files."""
    site, kind = site_of(request), request.match_info["kind"]
    async with reading(request) as (connection, _present):
        event = await known_event(site, connection, request.match_info["id"])
        if event is None:
            raise web.HTTPNotFound(reason="There is no event with this id.")
        wanted = replace(measurements_of(event, site.clock()), source=chosen(request).source)
        dropped = await dropped_since(connection, wanted.since)
    name = f"reachwatch-{site.file_prefix}{event.id}.{kind}"
    response = web.StreamResponse(
        headers={
            **PUBLIC,
            "Content-Type": KINDS[kind],
            "Content-Disposition": f'attachment; filename="{name}"',
            "Link": link_header(site.present.last_read().sources),
        }
    )
    if dropped:
        response.headers[DROPPED] = words.machine(dropped)
    name_moment(request, response)
    if kind == "parquet":
        with tempfile.TemporaryFile() as table:
            try:
                await _write_table(table, site, wanted)
            except ParquetMissingError as error:
                raise web.HTTPNotImplemented(reason=str(error)) from None
            await response.prepare(request)
            table.seek(0)
            while part := await asyncio.to_thread(table.read, 1 << 18):
                await response.write(part)
    else:
        await response.prepare(request)
        heading = True
        async for rows in _parts(site, wanted):
            if kind == "csv":
                text = as_csv("measurements", rows, heading=heading)
            else:
                text = "".join(msgspec.json.encode(row).decode() + "\n" for row in rows)
            await response.write(text.encode())
            heading = False
    await response.write_eof()
    return response


async def _parts(site: Site, wanted: Filter) -> AsyncIterator[Rows]:
    """The rows, newest round first; one part at least."""
    after: tuple[int, int] | None = None
    while True:
        async with site.database.reading() as connection:
            found = await list_judged(connection, wanted, after=after, limit=ROWS)
        yield [judged_form(row) for row in found]
        if len(found) < ROWS:
            return
        after = (found[-1].round, found[-1].arrival)


async def _write_table(out: IO[bytes], site: Site, wanted: Filter) -> None:
    """The columns of the CSV file, as text. Raises ParquetMissingError."""
    arrow, parquet = pyarrow("a table of an event")
    columns = COLUMNS["measurements"]
    schema = arrow.schema([(name, arrow.string()) for name in columns])
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        async for rows in _parts(site, wanted):
            await asyncio.to_thread(_write_rows, arrow, schema, writer, rows)


def _write_rows(arrow: Any, schema: Any, writer: Any, rows: Rows) -> None:
    table = [dict(_texts(row)) for row in rows]
    arrays = [
        arrow.array([row.get(name) for row in table], arrow.string()) for name in schema.names
    ]
    writer.write_table(arrow.Table.from_arrays(arrays, schema=schema))


def _texts(row: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in row.items():
        match value:
            case dict():
                found += _texts(value, f"{prefix}{name}.")
            case list():
                found.append((prefix + name, " ".join(map(str, value))))
            case bool():
                found.append((prefix + name, "true" if value else "false"))
            case None:
                pass
            case _:
                found.append((prefix + name, str(value)))
    return found
