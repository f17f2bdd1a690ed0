# SPDX-License-Identifier: Apache-2.0
"""Static files: read and compressed once, and addressed by a digest so that browsers can cache them
for a year.
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
CACHE_FOREVER = "public, max-age=31536000, immutable"


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
    """The URL path of a static file. Raises KeyError for an unknown name."""
    return f"/static/{name}?{assets()[name].digest}"


async def serve(request: web.Request) -> web.Response:
    """Serve a static file: cached for ever when requested by its digest, else revalidated."""
    found = assets().get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound(reason="There is no such file.")
    headers = {
        "ETag": f'"{found.digest}"',
        "Vary": "Accept-Encoding",
        "Cache-Control": CACHE_FOREVER if request.query_string == found.digest else "no-cache",
    }
    if f'"{found.digest}"' in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    body = found.content
    if "gzip" in request.headers.get("Accept-Encoding", ""):
        body, headers["Content-Encoding"] = found.packed, "gzip"
    return web.Response(body=body, content_type=found.type, charset="utf-8", headers=headers)
