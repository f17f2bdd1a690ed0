# SPDX-License-Identifier: Apache-2.0
"""Answers that are data: JSON, CSV and pictures, which other sites may read or embed."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

import msgspec
from aiohttp import web

PUBLIC: Mapping[str, str] = {"Access-Control-Allow-Origin": "*"}
"""Headers of what scripts of other sites may read."""


def inert(value: object) -> object:
    """The value, safe for spreadsheets (OWASP, CSV injection)."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return "" if value is None else value


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Rows, the heading first, as CSV (RFC 4180). A cell that a spreadsheet would run as a formula
    gets a leading apostrophe."""
    out = io.StringIO()
    csv.writer(out).writerows(map(inert, row) for row in rows)
    return out.getvalue()


def csv_file(name: str, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """CSV that a browser saves as `reachwatch-<name>.csv`."""
    disposition = {"Content-Disposition": f'attachment; filename="reachwatch-{name}.csv"'}
    all_headers = {**(headers or {}), **disposition}
    return web.Response(text=text, content_type="text/csv", charset="utf-8", headers=all_headers)


def json_answer(
    body: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """A value as JSON; bytes are JSON already."""
    encoded = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return web.Response(
        body=encoded, status=status, content_type="application/json", headers=headers
    )


def svg_answer(text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A picture that other sites embed."""
    all_headers = {**PUBLIC, "Cross-Origin-Resource-Policy": "cross-origin", **(headers or {})}
    return web.Response(
        text=text, content_type="image/svg+xml", charset="utf-8", headers=all_headers
    )
