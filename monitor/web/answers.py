# SPDX-License-Identifier: Apache-2.0
"""Answers that are data: JSON, CSV and pictures, which other sites may read or embed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from aiohttp import web

CONCLUSIONS = "Reachwatch-Conclusions"
"""Header of every answer that reads the store: how often something was concluded until then."""
NEXT = "X-Next"
"""Header of a list in CSV that goes on: the key of its next page."""
DROPPED = "Reachwatch-Dropped-Before"
"""Header of measurements that reach back to what retention dropped: the first time (RFC 3339) since
which all are there. Of earlier ones only evidence of events is left."""
PUBLIC: Mapping[str, str] = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": f"{CONCLUSIONS}, {DROPPED}, Link, {NEXT}",
}
"""Headers of what scripts of other sites may read."""


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
