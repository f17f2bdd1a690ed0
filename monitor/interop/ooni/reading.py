# SPDX-License-Identifier: Apache-2.0
"""OONI files to Measurements, one run after the other: finds out what kind of file it is, and
refuses what is wrong in it row by row. Memory stays bounded whatever the size of the file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO, Protocol, TextIO, cast

import msgspec

from monitor.interop.ooni import csvrows, keys
from monitor.interop.ooni.csvrows import Row, RowError
from monitor.interop.ooni.fields import document_of
from monitor.interop.ooni.names import Atlas
from monitor.interop.ooni.run import Run, measurements
from probes.wire.codec import WireError, decode, encode
from probes.wire.measurement import Measurement

_LONGEST_FIELD = 1 << 20
_LONGEST_DOCUMENT = 256 << 20
"""Longest JSON that is not one measurement a line."""
_LONGEST_LINE = 32 << 20
"""Longest measurement on a line of its own: a few bytes of a compressed file may become any
number of bytes without a newline."""
_NOT_JSON = (msgspec.DecodeError, UnicodeError, RecursionError)


class Stream(Protocol):
    """What is asked of an open file."""

    def peek(self, size: int = ..., /) -> bytes:
        """The next bytes, which stay unread."""

    def readline(self, size: int = ..., /) -> bytes:
        """The next line, or so much of it; nothing at the end."""

    def read(self, size: int = ..., /) -> bytes:
        """The next bytes."""


class Refusal(msgspec.Struct, frozen=True):
    """A row or measurement that was not taken."""

    line: int
    reason: str


class Taken(msgspec.Struct, frozen=True):
    """A run that was understood."""

    line: int
    """Of its last row."""
    rows: int
    found: tuple[tuple[Measurement, bytes], ...]
    """Measurements and their lines; none when the run was of no messaging service."""


class Mentioned(msgspec.Struct, frozen=True):
    """Nothing but how far the file was read: lines so far."""

    line: int


Item = Taken | Refusal | Mentioned
Again = Callable[[], AbstractContextManager[Stream]]


def read(again: Again, atlas: Atlas) -> Iterator[Item]:
    """What is in a file, in its order. `again` opens it from its beginning: a CSV file is read
    twice, because rows of one measurement may lie anywhere in it. Whatever reading raises goes to
    the caller."""
    with again() as stream:
        head = stream.peek(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        if not head:
            yield Refusal(1, "empty file")
            return
        if head[:1] in (b"{", b"["):
            yield from _read_json(stream, atlas)
            return
        with _text(stream) as text:
            ends = _ends(text)
    with again() as stream, _text(stream) as text:
        yield from _read_csv(text, ends, atlas)


@contextmanager
def _text(stream: Stream) -> Iterator[TextIO]:
    # Bytes that are no UTF-8 must not end the whole file.
    raw = cast(BinaryIO, stream)
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
    try:
        yield text
    finally:
        text.detach()


def _table(text: TextIO) -> tuple[Any, list[str], list[int]]:
    """A CSV reader, the names of its columns, and where ours stand. Raises RowError."""
    csv.field_size_limit(_LONGEST_FIELD)
    rows = csv.reader(text)
    try:
        names = next(rows, [])
    except csv.Error as error:
        raise RowError(str(error)) from None
    return rows, names, csvrows.header_of(names)


def _ends(text: TextIO) -> dict[int, int]:
    """The line of each measurement's last row, by a hash of what its rows share."""
    ends: dict[int, int] = {}
    try:
        rows, names, where = _table(text)
    except RowError:
        return ends  # told when it is read again
    shared = [where[csvrows.COLUMNS.index(name)] for name in csvrows.SHARED]
    while True:
        try:
            values = next(rows)
        except StopIteration:
            return ends
        except csv.Error:
            continue
        if len(values) == len(names):
            ends[hash(tuple([values[index] for index in shared]))] = rows.line_num


def _read_csv(text: TextIO, ends: dict[int, int], atlas: Atlas) -> Iterator[Item]:
    try:
        rows, names, where = _table(text)
    except RowError as error:
        yield Refusal(1, str(error))
        return
    waiting: dict[tuple[str, ...], dict[Row, int]] = {}
    while True:
        try:
            values = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            yield Refusal(rows.line_num, str(error))
            continue
        if not values:
            continue
        line = rows.line_num
        if len(values) != len(names):
            yield Refusal(line, f"{len(values)} columns in place of {len(names)}")
            continue
        row = Row._make([values[index] if index >= 0 else "" for index in where])
        mine = waiting.setdefault(row.whose, {})
        if row in mine:
            mine[row] += 1
        else:
            try:
                csvrows.inspect(row)
                mine[row] = 1
            except RowError as error:
                yield Refusal(line, str(error))
        if ends.get(hash(row.whose), 0) <= line:
            if mine := waiting.pop(row.whose):
                run = csvrows.run_of(list(mine), atlas)
                yield _taken(run, line, sum(mine.values()), atlas)
            else:
                yield Mentioned(line)


def _taken(run: Run, line: int, rows: int, atlas: Atlas) -> Taken | Refusal:
    found = []
    for each in measurements(run, atlas):
        raw = encode(each)
        try:
            # Whatever a stranger wrote, nothing is stored that cannot be read again.
            decode(raw)
        except WireError as error:
            return Refusal(line, f"{each.target}: {error}")
        found.append((each, raw))
    return Taken(line, rows, tuple(found))


def _read_json(stream: Stream, atlas: Atlas) -> Iterator[Item]:
    """One measurement a line, or one document (a measurement or a list) over many lines."""
    first = stream.readline(_LONGEST_DOCUMENT)
    while first and not first.strip():
        first = stream.readline(_LONGEST_DOCUMENT)
    try:
        opening = msgspec.json.decode(first)
    except _NOT_JSON:
        opening = None
    if opening is None:
        yield from _read_document(first, stream, atlas)
        return
    yield from _document(opening, 1, atlas)
    for number, line in enumerate(_lines(stream), 2):
        if line is None:
            yield Refusal(number, f"a line of more than {_LONGEST_LINE} bytes")
        elif line.strip():
            yield from _line(line, number, atlas)


def _lines(stream: Stream) -> Iterator[bytes | None]:
    """The lines that are left; None in place of one that is too long to be looked at."""
    while line := stream.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_LONGEST_LINE)
        yield None


def _read_document(first: bytes, stream: Stream, atlas: Atlas) -> Iterator[Item]:
    rest = stream.read(_LONGEST_DOCUMENT)
    try:
        whole = msgspec.json.decode(first + rest)
    except _NOT_JSON as error:
        # JSON Lines whose very first line is broken look so too.
        lines = (first + rest).splitlines()
        if len(lines) > 1 and lines[1][:1] == b"{":
            for number, line in enumerate(lines, 1):
                yield from _line(line, number, atlas)
            return
        yield Refusal(1, f"not JSON: {error}")
        return
    yield from _document(whole, 1, atlas)


def _line(line: bytes, number: int, atlas: Atlas) -> Iterator[Item]:
    try:
        value = msgspec.json.decode(line)
    except _NOT_JSON as error:
        yield Refusal(number, f"not JSON: {error}")
        return
    yield from _document(value, number, atlas)


def _document(value: object, number: int, atlas: Atlas) -> Iterator[Item]:
    for each in value if isinstance(value, list) else [value]:
        try:
            run = keys.run_of(document_of(each), atlas)
        except RowError as error:
            yield Refusal(number, str(error))
            continue
        yield _taken(run, number, max(1, run.steps), atlas)
