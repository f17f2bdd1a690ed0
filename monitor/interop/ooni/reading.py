# SPDX-License-Identifier: Apache-2.0
"""OONI files to Measurements, run by run: detects the kind of file and rejects invalid rows one by
one, in bounded memory.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO, Protocol, TextIO, cast

import msgspec

from monitor.interop.ooni import csvrows, keys
from monitor.interop.ooni.csvrows import ObservationRow, RowError
from monitor.interop.ooni.document import document_of, shallow
from monitor.interop.ooni.run import Run, UnsupportedTestError, measurements
from monitor.interop.ooni.target_index import TargetIndex
from probes.wire.codec import WireError, decode, encode
from probes.wire.measurement import Measurement

_LONGEST_DOCUMENT = 256 << 20
"""Longest JSON document that is not one measurement a line."""
_LONGEST_LINE = 32 << 20
"""Longest line with one measurement: a small compressed file may expand without end."""
_NOT_JSON = (msgspec.DecodeError, UnicodeError, RecursionError)


class PeekableFile(Protocol):
    """The part of a file object that is needed."""

    def peek(self, size: int = ..., /) -> bytes:
        """The next bytes, which stay unread."""

    def readline(self, size: int = ..., /) -> bytes:
        """The next line, or the first bytes of it; empty at the end."""

    def read(self, size: int = ..., /) -> bytes:
        """The next bytes."""


class Refusal(msgspec.Struct, frozen=True):
    """A rejected row or measurement."""

    line: int
    reason: str


class ImportedRun(msgspec.Struct, frozen=True):
    """A valid run."""

    line: int
    """Of its last row."""
    rows: int
    found: tuple[tuple[Measurement, bytes], ...]
    """Measurements and their lines; empty without a service of the catalogue."""


class Unsupported(msgspec.Struct, frozen=True):
    """A run of a test that is not read."""

    line: int
    test: str
    reason: str


class LinesRead(msgspec.Struct, frozen=True):
    """The number of lines read so far."""

    line: int


Item = ImportedRun | Refusal | Unsupported | LinesRead
Again = Callable[[], AbstractContextManager[PeekableFile]]


def read(again: Again, targets_by_name: TargetIndex) -> Iterator[Item]:
    """The items of a file, in order. `again` opens it from the beginning: a CSV file is read twice,
    because the rows of one measurement may be anywhere in it. Errors while reading are passed
    on."""
    with again() as stream:
        head = stream.peek(4096).lstrip(b"\xef\xbb\xbf \t\r\n")
        if not head:
            yield Refusal(1, "empty file")
            return
        if head[:1] in (b"{", b"["):
            yield from _read_json(stream, targets_by_name)
            return
        with _text(stream) as text:
            ends = _ends(text)
    with again() as stream, _text(stream) as text:
        yield from _read_csv(text, ends, targets_by_name)


@contextmanager
def _text(stream: PeekableFile) -> Iterator[TextIO]:
    # Invalid UTF-8 must not end the whole file.
    raw = cast(BinaryIO, stream)
    text = io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")
    try:
        yield text
    finally:
        text.detach()


def _table(text: TextIO) -> tuple[Any, list[str], list[int]]:
    """A CSV reader, its column names, and the positions of ours. Raises RowError."""
    rows = csv.reader(text)
    try:
        names = next(rows, [])
    except csv.Error as error:
        raise RowError(str(error)) from None
    return rows, names, csvrows.header_of(names)


def _ends(text: TextIO) -> dict[int, int]:
    """The last line of each measurement, by a hash of what its rows share."""
    ends: dict[int, int] = {}
    try:
        rows, names, where = _table(text)
    except RowError:
        return ends  # reported in the second reading
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


def _read_csv(text: TextIO, ends: dict[int, int], targets_by_name: TargetIndex) -> Iterator[Item]:
    try:
        rows, names, where = _table(text)
    except RowError as error:
        yield Refusal(1, str(error))
        return
    waiting: dict[tuple[str, ...], dict[ObservationRow, int]] = {}
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
        other: UnsupportedTestError | None = None
        row = ObservationRow._make([values[index] if index >= 0 else "" for index in where])
        mine = waiting.setdefault(row.whose, {})
        if row in mine:
            mine[row] += 1
        else:
            try:
                csvrows.inspect(row)
                mine[row] = 1
            except RowError as error:
                yield Refusal(line, str(error))
            except UnsupportedTestError as error:
                other = error
        if ends.get(hash(row.whose), 0) <= line:
            if mine := waiting.pop(row.whose):
                run = csvrows.run_of(list(mine), targets_by_name)
                yield _taken(run, line, sum(mine.values()), targets_by_name)
            elif other is not None:
                yield Unsupported(line, str(other), other.reason())
            else:
                yield LinesRead(line)


def _taken(run: Run, line: int, rows: int, targets_by_name: TargetIndex) -> ImportedRun | Refusal:
    found = []
    for each in measurements(run, targets_by_name):
        raw = encode(each)
        try:
            # Nothing is stored that cannot be decoded again.
            decode(raw)
        except WireError as error:
            return Refusal(line, f"{each.target}: {error}")
        found.append((each, raw))
    return ImportedRun(line, rows, tuple(found))


def _read_json(stream: PeekableFile, targets_by_name: TargetIndex) -> Iterator[Item]:
    """One measurement a line, or one document (a measurement or a list) over many lines."""
    first = stream.readline(_LONGEST_DOCUMENT)
    while first and not first.strip():
        first = stream.readline(_LONGEST_DOCUMENT)
    try:
        opening = msgspec.json.decode(first)
    except _NOT_JSON:
        opening = None
    if opening is None:
        yield from _read_document(first, stream, targets_by_name)
        return
    yield from _document(opening, 1, targets_by_name)
    yield from _read_lines(lines_of(stream), 2, targets_by_name)


def _read_lines(
    lines: Iterable[bytes | None], first: int, targets_by_name: TargetIndex
) -> Iterator[Item]:
    """One measurement a line; `first` is the number of the first."""
    for number, line in enumerate(lines, first):
        if line is None:
            yield Refusal(number, f"a line of more than {_LONGEST_LINE} bytes")
        elif line.strip():
            yield from line_items(line, number, targets_by_name)


def lines_of(stream: PeekableFile) -> Iterator[bytes | None]:
    """The remaining lines; None for one that is too long."""
    while line := stream.readline(_LONGEST_LINE):
        if len(line) < _LONGEST_LINE or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(_LONGEST_LINE)
        yield None


def _read_document(
    first: bytes, stream: PeekableFile, targets_by_name: TargetIndex
) -> Iterator[Item]:
    rest = stream.read(_LONGEST_DOCUMENT)
    try:
        whole = msgspec.json.decode(first + rest)
    except _NOT_JSON as error:
        # JSON Lines with an invalid first line look the same.
        lines = (first + rest).splitlines()
        if any(line[:1] == b"{" for line in lines[1:]):
            if not rest.endswith(b"\n"):  # cut in the middle of a line, or at the end
                lines[-1] += stream.readline(_LONGEST_LINE)
            yield from _read_lines(itertools.chain(lines, lines_of(stream)), 1, targets_by_name)
            return
        yield Refusal(1, f"not JSON: {error}")
        return
    yield from _document(whole, 1, targets_by_name)


def line_items(line: bytes, number: int, targets_by_name: TargetIndex) -> Iterator[Item]:
    """The items of a line that holds one measurement."""
    try:
        value = shallow(line) or msgspec.json.decode(line)
    except _NOT_JSON as error:
        yield Refusal(number, f"not JSON: {error}")
        return
    yield from _document(value, number, targets_by_name)


def _document(value: object, number: int, targets_by_name: TargetIndex) -> Iterator[Item]:
    for each in value if isinstance(value, list) else [value]:
        try:
            run = keys.run_of(document_of(each), targets_by_name)
        except RowError as error:
            yield Refusal(number, str(error))
            continue
        except UnsupportedTestError as error:
            yield Unsupported(number, str(error), error.reason())
            continue
        except _NOT_JSON as error:  # in a part that only now is decoded
            yield Refusal(number, f"not JSON: {error}")
            continue
        yield _taken(run, number, max(1, run.steps), targets_by_name)
