# SPDX-License-Identifier: Apache-2.0
"""Rows as CSV that a spreadsheet opens safely."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable


def inert(value: object) -> object:
    """The value, safe for spreadsheets (OWASP, CSV injection); truth in the words of JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows, the heading first, as CSV (RFC 4180). A cell that a spreadsheet would run as a formula
    gets a leading apostrophe."""
    out = io.StringIO()
    csv.writer(out).writerows(map(inert, row) for row in rows)
    return out.getvalue()
