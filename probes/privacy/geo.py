# SPDX-License-Identifier: Apache-2.0
"""Country and ASN of an address, from a table on this machine: no address is sent anywhere.

The probe ships none. The volunteer (or who builds an image) downloads one, and `geo update --from
FILE` writes its compact form to the state directory. Rows are `start end asn country ...`,
separated by tabs (iptoasn.com, ip2asn-combined.tsv) or commas, gzipped or not; what follows the
country is ignored. A dump of libloc's database is taken as well (`location_dump`).
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import hashlib
import ipaddress
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice, pairwise, takewhile
from pathlib import Path
from typing import BinaryIO

import msgspec

from probes import state_directory
from probes.privacy import location_dump
from probes.runtime.geo_table import (
    FILE_NAME,
    HEAD,
    MAGIC,
    UNKNOWN_COUNTRY,
    WIDTHS,
    GeoError,
    Origin,
)

_MAX_LINES = 8_000_000
"""A combined table has about 0.7 million rows (iptoasn.com, 2026-11), a dump of libloc 3.6 million
lines (2025-03)."""
_MAX_LINE = 4096
_MAX_COMMENTS = 50
"""Lines at the beginning that may say where the table is from."""
_NO_COUNTRY = frozenset(("", "-", "none", "unknown", "zz"))
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_ASN = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class GeoSummary:
    """Version, origin and size of the table that `update` made."""

    version: str
    origin: Origin
    rows_v4: int
    rows_v6: int


def update(source: Path, directory: Path) -> GeoSummary:
    """Make the compact table in the state directory from a TSV or CSV file.

    Replaces the old table only when the whole file is good. Raises GeoError (file, line, reason)
    and StateError.
    """
    rows: dict[int, list[bytes]] = {4: [], 6: []}
    try:
        with source.open("rb") as plain:
            version = hashlib.file_digest(plain, "sha256").hexdigest()[:12]
            plain.seek(0)
            zipped = plain.read(2) == b"\x1f\x8b"
            plain.seek(0)
            with gzip.GzipFile(fileobj=plain) if zipped else contextlib.nullcontext(plain) as file:
                origin = location_dump.origin(_comments(source, file))
                _collect(source, file, rows)
    except (OSError, EOFError, zlib.error) as error:
        raise GeoError(f"{source}: {getattr(error, 'strerror', None) or error}") from None
    if not rows[4] and not rows[6]:
        raise GeoError(f"{source}: no rows")
    parts = [HEAD.pack(MAGIC, version.encode(), len(rows[4]), len(rows[6]))]
    for family, width in WIDTHS.items():
        rows[family].sort()
        _refuse_overlaps(source, rows[family], width)
        for begin, end in ((0, width), (width, 2 * width), (2 * width, 2 * width + 4),
                           (2 * width + 4, 2 * width + 6)):  # fmt: skip
            parts.append(b"".join(row[begin:end] for row in rows[family]))
    if origin != Origin():
        parts.append(msgspec.json.encode(origin))
    state_directory.prepare(directory)
    state_directory.write(directory / FILE_NAME, b"".join(parts))
    return GeoSummary(version, origin, len(rows[4]), len(rows[6]))


def _comments(source: Path, file: BinaryIO | gzip.GzipFile) -> list[str]:
    """The comments before the first row; the file is then at its beginning again."""
    first = (text for _, text in islice(_lines(source, file), _MAX_COMMENTS))
    comments = list(takewhile(lambda text: text.startswith("#"), first))
    file.seek(0)
    return comments


def _collect(source: Path, file: BinaryIO | gzip.GzipFile, rows: dict[int, list[bytes]]) -> None:
    """Append each row as packed bytes: start, end, ASN, country, number of its line."""
    for number, cells in _cells(source, file):
        try:
            family, packed = _packed(cells)
        except ValueError as error:
            raise GeoError(f"{source}:{number}: {error}") from None
        rows[family].append(packed + number.to_bytes(4, "big"))


def _cells(source: Path, file: BinaryIO | gzip.GzipFile) -> Iterator[tuple[int, list[str]]]:
    lines = _lines(source, file)
    first = next(((n, text) for n, text in lines if text.strip() and text[0] != "#"), None)
    if first is None:
        return
    lines = chain((first,), lines)
    if not first[1].startswith(location_dump.FIRST_WORDS):
        yield from _separated(source, lines)
        return
    try:
        yield from location_dump.rows(lines)
    except ValueError as error:
        raise GeoError(f"{source}:{error}") from None


def _lines(source: Path, file: BinaryIO | gzip.GzipFile) -> Iterator[tuple[int, str]]:
    number = 0
    while line := file.readline(_MAX_LINE + 1):
        number += 1
        if len(line) > _MAX_LINE:
            raise GeoError(f"{source}:{number}: longer than {_MAX_LINE} bytes")
        if number > _MAX_LINES:
            raise GeoError(f"{source}:{number}: more than {_MAX_LINES} lines")
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace").strip("\r\n")
        yield number, text


def _separated(source: Path, lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table separated by tabs or commas."""
    delimiter = ""
    for number, text in lines:
        if not text.strip() or text.startswith("#"):
            continue
        delimiter = delimiter or ("\t" if "\t" in text else ",")
        if delimiter == "\t":
            cells = text.split("\t")
        else:
            try:
                cells = next(csv.reader([text]))
            except csv.Error as error:
                raise GeoError(f"{source}:{number}: {error}") from None
        if number == 1 and not any(c.isdigit() for c in cells[0]) and ":" not in cells[0]:
            continue  # the names of the columns
        yield number, cells


def _packed(cells: list[str]) -> tuple[int, bytes]:
    """Return family and packed row. Raises ValueError with the reason."""
    if len(cells) < 4:
        raise ValueError(f"{len(cells)} columns, not start, end, asn, country")
    start, end = (_address(cell.strip()) for cell in cells[:2])
    if start.version != end.version:
        raise ValueError(f"{start} and {end} are of two families")
    if start.packed > end.packed:
        raise ValueError(f"{start} is after {end}")
    asn = _ASN.fullmatch(cells[2].strip())
    if not asn or int(asn[1]) >= 1 << 32:
        raise ValueError(f"{cells[2][:40]!r} is not an AS number")
    country = cells[3].strip()
    if country.lower() in _NO_COUNTRY:
        country = UNKNOWN_COUNTRY
    elif not _COUNTRY.fullmatch(country):
        raise ValueError(f"{country[:40]!r} is not a two-letter country code")
    row = start.packed + end.packed + int(asn[1]).to_bytes(4, "big")
    return start.version, row + country.upper().encode()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text[:60]!r} is not an IP address") from None
    if isinstance(ip, ipaddress.IPv6Address) and ip.scope_id:
        raise ValueError(f"{text[:60]!r} has a zone")
    return ip


def _refuse_overlaps(source: Path, rows: list[bytes], width: int) -> None:
    for earlier, later in pairwise(rows):
        if later[:width] <= earlier[width : 2 * width]:
            first, second = sorted(int.from_bytes(row[-4:], "big") for row in (earlier, later))
            raise GeoError(f"{source}:{second}: overlaps line {first}")
