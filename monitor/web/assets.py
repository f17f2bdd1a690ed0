# SPDX-License-Identifier: Apache-2.0
"""Static files, read once, compressed once, and named by their content so that browsers may keep
them for a year.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
from pathlib import Path

import msgspec
from aiohttp import web

STATIC = Path(__file__).with_name("static")
TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FOR_EVER = "public, max-age=31536000, immutable"


class Asset(msgspec.Struct, frozen=True):
    """One file."""

    content: bytes
    packed: bytes
    type: str
    digest: str


@functools.cache
def assets() -> dict[str, Asset]:
    """Every static file by its name."""
    made = {}
    for path in sorted(STATIC.iterdir()):
        if path.suffix in TYPES:
            content = path.read_bytes()
            made[path.name] = Asset(
                content,
                gzip.compress(content, 9, mtime=0),
                TYPES[path.suffix],
                hashlib.sha256(content).hexdigest()[:12],
            )
    return made


def address(name: str) -> str:
    """Where a static file is. Raises KeyError for a name that does not exist."""
    return f"/static/{name}?{assets()[name].digest}"


async def serve(request: web.Request) -> web.Response:
    """One static file: kept for ever when asked for by its digest, else asked for again."""
    found = assets().get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound(reason="There is no such file.")
    headers = {
        "ETag": f'"{found.digest}"',
        "Vary": "Accept-Encoding",
        "Cache-Control": FOR_EVER if request.query_string == found.digest else "no-cache",
    }
    if f'"{found.digest}"' in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    body = found.content
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = found.packed, "gzip"
    return web.Response(body=body, content_type=found.type, charset="utf-8", headers=headers)
