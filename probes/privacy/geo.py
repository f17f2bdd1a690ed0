# SPDX-License-Identifier: Apache-2.0
"""Country and ASN of an address, from a table on this machine: no address is sent anywhere.

No table is shipped. The volunteer (or whoever builds the image) downloads one, and `geo update
--from FILE` writes its compact form to the state directory. Rows are `start end asn country ...`,
separated by tabs (iptoasn.com, ip2asn-combined.tsv) or commas, gzipped or not; what follows the
country is ignored.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import ipaddress
import mmap
import re
import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from probes import state_directory

FILE_NAME = "geo.table"
"""Name of the compact table in the state directory."""
UNKNOWN_COUNTRY = "ZZ"
_MAGIC = b"RWGEO1\0\0"
_HEAD = struct.Struct(">8s16sQQ")
"""Magic, version (ASCII, padded with NUL), rows of IPv4, rows of IPv6. Then, of each family, four
packed columns: starts, ends, ASNs (4 bytes), countries (2 bytes); all big-endian, so that bytes
sort as addresses do."""
_WIDTHS = {4: 4, 6: 16}
_MAX_ROWS = 4_000_000
"""A combined table has about 0.7 million rows (iptoasn.com, 2026-11)."""
_MAX_LINE = 4096
_NO_COUNTRY = frozenset(("", "-", "none", "unknown", "zz"))
_COUNTRY = re.compile(r"[A-Za-z]{2}")
_ASN = re.compile(r"(?:AS)?(\d{1,10})", re.IGNORECASE | re.ASCII)


class GeoError(Exception):
    """A table that cannot be used. The text is one line: file, line, reason."""


@dataclass(frozen=True)
class Location:
    """Where an address is."""

    country: str = UNKNOWN_COUNTRY
    """ISO 3166-1 alpha-2; `ZZ` when the table does not say."""
    asn: int = 0


@dataclass(frozen=True)
class GeoSummary:
    """Version and size of the table that `update` made."""

    version: str
    rows_v4: int
    rows_v6: int


class GeoTable:
    """A compact table, memory-mapped. Close it, or use it in a `with` statement."""

    def __init__(self, path: Path) -> None:
        """Open a file that `update` made. Raises GeoError."""
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:  # ValueError: an empty file
            reason = getattr(error, "strerror", None) or error
            raise GeoError(f"{path}: {reason}") from None
        head = self._map[: _HEAD.size].ljust(_HEAD.size, b"\0")
        magic, version, v4, v6 = _HEAD.unpack(head)
        if magic != _MAGIC or len(self._map) != _HEAD.size + v4 * 14 + v6 * 38:
            self._map.close()
            raise GeoError(f"{path}: not a table of this version; make it again with geo update")
        self.version: str = version.rstrip(b"\0").decode("ascii", "replace")
        """First twelve hex digits of the SHA-256 of the file that the table was made from."""
        self._columns = {4: (_HEAD.size, v4), 6: (_HEAD.size + v4 * 14, v6)}

    def lookup(self, address: str) -> Location | None:
        """Return the location of an address; None when no row holds it, or it is no address."""
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        at, count = self._columns[ip.version]
        width = _WIDTHS[ip.version]

        def cell(column: int, size: int, row: int) -> bytes:
            begin = column + row * size
            return self._map[begin : begin + size]

        row = bisect_right(range(count), ip.packed, key=lambda r: cell(at, width, r)) - 1
        ends = at + count * width
        if row < 0 or cell(ends, width, row) < ip.packed:
            return None
        asns = ends + count * width
        country = cell(asns + count * 4, 2, row).decode("ascii", "replace")
        return Location(country, int.from_bytes(cell(asns, 4, row), "big"))

    def close(self) -> None:
        """Release the file; safe to call twice."""
        self._map.close()

    def __enter__(self) -> GeoTable:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


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
            if zipped:
                with gzip.GzipFile(fileobj=plain) as file:
                    _collect(source, file, rows)
            else:
                _collect(source, plain, rows)
    except (OSError, EOFError, zlib.error) as error:
        raise GeoError(f"{source}: {getattr(error, 'strerror', None) or error}") from None
    if not rows[4] and not rows[6]:
        raise GeoError(f"{source}: no rows")
    parts = [_HEAD.pack(_MAGIC, version.encode(), len(rows[4]), len(rows[6]))]
    for family, width in _WIDTHS.items():
        rows[family].sort()
        _refuse_overlaps(source, rows[family], width)
        for begin, end in ((0, width), (width, 2 * width), (2 * width, 2 * width + 4),
                           (2 * width + 4, 2 * width + 6)):  # fmt: skip
            parts.append(b"".join(row[begin:end] for row in rows[family]))
    state_directory.prepare(directory)
    state_directory.write(directory / FILE_NAME, b"".join(parts))
    return GeoSummary(version, len(rows[4]), len(rows[6]))


def _collect(source: Path, file: BinaryIO | gzip.GzipFile, rows: dict[int, list[bytes]]) -> None:
    """Append each row as packed bytes: start, end, ASN, country, number of its line."""
    for number, cells in _cells(source, file):
        try:
            family, packed = _packed(cells)
        except ValueError as error:
            raise GeoError(f"{source}:{number}: {error}") from None
        rows[family].append(packed + number.to_bytes(4, "big"))


def _cells(source: Path, file: BinaryIO | gzip.GzipFile) -> Iterator[tuple[int, list[str]]]:
    delimiter = ""
    number = 0
    while line := file.readline(_MAX_LINE + 1):
        number += 1
        if len(line) > _MAX_LINE:
            raise GeoError(f"{source}:{number}: longer than {_MAX_LINE} bytes")
        if number > _MAX_ROWS:
            raise GeoError(f"{source}:{number}: more than {_MAX_ROWS} lines")
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace").strip("\r\n")
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
