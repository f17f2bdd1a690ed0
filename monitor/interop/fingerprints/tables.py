# SPDX-License-Identifier: Apache-2.0
"""Published lists of fingerprints as CSV -> Fingerprint values, each fault with its place.

Two formats, recognised by their first line: OONI's blocking-fingerprints (HTTP and DNS in the same
columns, which are also those that we write) and the Citizen Lab's filtering-annotations v1 (one
set of columns each for HTTP and for DNS). Columns as of the commits named in
`monitor.detection.fingerprints.known`. The lists are strangers' data: sizes are bounded, and
nothing in them is evaluated.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from monitor.detection.fingerprints.entry import Fingerprint, printable, problem, unusable
from monitor.detection.fingerprints.pattern import PatternError, found_by

OONI = [
    "name", "scope", "other_names", "location_found", "pattern_type", "pattern",
    "confidence_no_fp", "expected_countries", "source", "exp_url", "notes",
]  # fmt: skip
LAB_HTTP = [
    "name", "common_name", "pattern", "location_found", "exp_url", "confidence_no_fp", "source",
    "scope", "expected_countries", "notes",
]  # fmt: skip
LAB_DNS = [
    "name", "response", "confidence_no_fp", "exp_url", "source", "scope", "expected_countries",
    "notes",
]  # fmt: skip
"""Their first lines."""
MAX_BYTES = 8 << 20
MAX_ROWS = 20_000
_LISTED = re.compile(r"'([^'\[\]]*)'")
"""The Citizen Lab writes lists as Python does: `['ID', 'MY']`, `['']`, `[]`."""


@dataclass
class FingerprintTable:
    """What a file held."""

    origin: str = ""
    """`ooni` or `citizenlab`."""
    entries: list[Fingerprint] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """Sound rows that cannot be matched here: `place: reason`."""
    faults: list[str] = field(default_factory=list)
    """What is malformed: `place: reason`. A file with any is not to be taken."""


def read(name: str, raw: bytes) -> FingerprintTable:
    """Return what the bytes of a file hold; `name` stands in the faults. Never raises."""
    table = FingerprintTable()
    if len(raw) > MAX_BYTES:
        table.faults.append(f"{name}: {len(raw)} bytes, at most {MAX_BYTES}")
        return table
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        table.faults.append(f"{name}:{raw.count(10, 0, error.start) + 1}: not UTF-8")
        return table
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = next(reader, [])
        if columns == OONI:
            table.origin = "ooni"
        elif columns in (LAB_HTTP, LAB_DNS):
            table.origin = "citizenlab"
        else:
            table.faults.append(f"{name}:1: columns {printable(','.join(columns))}: no known list")
            return table
        for line, row in _rows(reader, table, name, len(columns)):
            _add_row(table, f"{name}:{line}", dict(zip(columns, row, strict=True)))
    except csv.Error as error:
        table.faults.append(f"{name}:{reader.line_num}: {error}")
    _tell_apart(table)
    return table


def write(entries: Iterable[Fingerprint]) -> bytes:
    """Return fingerprints as a file in OONI's columns, sorted: equal sets give equal bytes."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(OONI)
    for one in sorted(entries):
        countries = ",".join(one.countries)
        row = (one.id, one.scope, "", one.where, one.how, one.pattern, "", countries, one.source)
        writer.writerow((*row, "", ""))
    return out.getvalue().encode()


def _rows(
    reader: Iterator[list[str]], table: FingerprintTable, name: str, width: int
) -> Iterator[tuple[int, list[str]]]:
    count, line = 0, 2
    for row in reader:
        here, line = line, getattr(reader, "line_num", line) + 1
        if not row:
            continue
        count += 1
        if count > MAX_ROWS:
            table.faults.append(f"{name}:{here}: more than {MAX_ROWS} rows")
            return
        if len(row) != width:
            table.faults.append(f"{name}:{here}: {len(row)} fields, must be {width}")
            continue
        yield here, row


def _add_row(table: FingerprintTable, place: str, row: dict[str, str]) -> None:
    one = _from_ooni(row) if table.origin == "ooni" else _from_lab(row)
    if (wrong := problem(one)) is not None:
        table.faults.append(f"{place}: {wrong}")
        return
    why = unusable(one)
    if why is None:
        try:
            found_by(one.how, one.pattern)
        except PatternError as error:
            why = f"pattern: {error}"
    if why is not None:
        table.skipped.append(f"{place}: {one.id}: {why}")
    else:
        table.entries.append(one)


def _from_ooni(row: dict[str, str]) -> Fingerprint:
    return Fingerprint(
        id=row["name"],
        scope=row["scope"],
        where=row["location_found"],
        how=row["pattern_type"],
        pattern=row["pattern"],
        countries=_countries(row["expected_countries"].split(",")),
        source=row["source"],
    )


def _from_lab(row: dict[str, str]) -> Fingerprint:
    where, how, pattern = row.get("location_found", "dns"), "contains", row.get("pattern", "")
    if "response" in row:
        how, pattern = "full", row["response"]
    if where == "header":
        # The list does not name the header; OONI's own importer reads these as Location too.
        where = "header.location"
        for header in ("Location", "Server"):
            if pattern.startswith(f"{header}: "):
                where, how = f"header.{header.lower()}", "prefix"
                pattern = pattern.removeprefix(f"{header}: ")
    return Fingerprint(
        id=f"cl.{row['name']}",
        scope=row["scope"],
        where=where,
        how=how,
        pattern=pattern,
        countries=_countries(_LISTED.findall(row["expected_countries"])),
        source=",".join(filter(None, _LISTED.findall(row["source"]))),
    )


def _countries(listed: Iterable[str]) -> tuple[str, ...]:
    """The countries named, sorted. ZZ stands for an unknown one: it narrows nothing."""
    named = {one.strip() for one in listed} - {""}
    return () if "ZZ" in named else tuple(sorted(named))


def _tell_apart(table: FingerprintTable) -> None:
    """Published lists use some names twice: the later one gets a number."""
    seen: dict[str, int] = {}
    for index, one in enumerate(table.entries):
        seen[one.id] = seen.get(one.id, 0) + 1
        if seen[one.id] > 1:
            table.entries[index] = msgspec.structs.replace(one, id=f"{one.id}#{seen[one.id]}")
