# SPDX-License-Identifier: Apache-2.0
"""Country and ASN of an address, from a compact table on this machine: no address is sent anywhere.

`probes.privacy.geo` makes the table. The probe uses it to say where it is, the monitor to compare
that with where an enrolment came from.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import mmap
import struct
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import msgspec

FILE_NAME = "geo.table"
"""Name of the compact table in the state directory."""
UNKNOWN_COUNTRY = "ZZ"
MAGIC = b"RWGEO1\0\0"
HEAD = struct.Struct(">8s16sQQ")
"""Magic, version (ASCII, padded with NUL), rows of IPv4, rows of IPv6. Then, of each family, four
packed columns: starts, ends, ASNs (4 bytes), countries (2 bytes); all big-endian, so that bytes
sort as addresses do. Then the Origin as JSON, or nothing where nothing is known of it."""
WIDTHS = {4: 4, 6: 16}


class GeoError(Exception):
    """A table that cannot be used. The text is one line: file, line, reason."""


@dataclass(frozen=True)
class Location:
    """Where an address is."""

    country: str = UNKNOWN_COUNTRY
    """ISO 3166-1 alpha-2; `ZZ` when the table does not say."""
    asn: int = 0


class Origin(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a table is from, as the file that it was made from says; empty where that is silent."""

    source: str = ""
    url: str = ""
    made: dt.date | None = None
    licence: str = ""
    licence_url: str = ""


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
        head = self._map[: HEAD.size].ljust(HEAD.size, b"\0")
        magic, version, v4, v6 = HEAD.unpack(head)
        end = HEAD.size + v4 * 14 + v6 * 38
        try:
            if magic != MAGIC or end > len(self._map):
                raise ValueError("other columns")
            self.origin: Origin = msgspec.json.decode(self._map[end:] or b"{}", type=Origin)
        except ValueError:
            self._map.close()
            reason = "not a table of this version; make it again with geo update"
            raise GeoError(f"{path}: {reason}") from None
        self.version: str = version.rstrip(b"\0").decode("ascii", "replace")
        """First twelve hex digits of the SHA-256 of the file that the table was made from."""
        self._columns = {4: (HEAD.size, v4), 6: (HEAD.size + v4 * 14, v6)}

    def lookup(self, address: str) -> Location | None:
        """Return the location of an address; None when no row holds it, or it is no address."""
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return None
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
            ip = ip.ipv4_mapped
        at, count = self._columns[ip.version]
        width = WIDTHS[ip.version]

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
