# SPDX-License-Identifier: Apache-2.0
"""A small HTTP/1.1 server for whoever runs the probe: metrics, health, and the local page.

By hand, in a few lines: a library would use more memory than the rest of the probe.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import AsyncIterator, Callable

import msgspec

_SECONDS = 5.0
_HEAD_BYTES = 8192
ADDRESS = "127.0.0.1:8077"
"""Where the page is unless another address is given."""


class PageRequest(msgspec.Struct, frozen=True):
    """What is read of a request. `method` and `path` are empty when it is not HTTP."""

    method: str
    path: str
    """Without the query."""
    headers: dict[str, str]
    """By name in small letters; the last of several wins."""


class PageReply(msgspec.Struct, frozen=True):
    """An answer. `headers` are further lines, each with its own end of line."""

    status: str
    body: str
    kind: str = "text/plain"
    headers: str = ""


class AddressError(Exception):
    """An address cannot be served. The text is one line: address, reason and what to do."""


@contextlib.asynccontextmanager
async def serving(
    address: tuple[str, int], answer: Callable[[PageRequest], PageReply]
) -> AsyncIterator[int]:
    """Serve GET and HEAD at host and port while inside; yields the port. Raises AddressError."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            async with asyncio.timeout(_SECONDS):
                request = _parse(await reader.readuntil(b"\r\n\r\n"))
                if request.method not in ("GET", "HEAD"):
                    reply = PageReply("405 Method Not Allowed", "GET only\n")
                else:
                    reply = answer(request)
                writer.write(_encode(reply, head_only=request.method == "HEAD"))
                await writer.drain()
        writer.close()

    try:
        server = await asyncio.start_server(serve, *address, limit=_HEAD_BYTES)
    except OSError as error:
        # asyncio's own text is a sentence around an address as Python writes it; without a number
        # since Python 3.13 when no address could be had.
        number = errno.EADDRNOTAVAIL if isinstance(error, socket.gaierror) else error.errno
        reason = os.strerror(number or errno.EADDRNOTAVAIL)
        raise AddressError(
            f"cannot listen on {address[0]}:{address[1]} ({reason}): choose another address or port"
        ) from None
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


def _parse(head: bytes) -> PageRequest:
    first, *rest = head.decode("latin-1").split("\r\n")
    words = first.split()
    method, path = (words[0], words[1].partition("?")[0]) if len(words) == 3 else ("", "")
    headers = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip().lower()] = value.strip()
    return PageRequest(method, path, headers)


def _encode(reply: PageReply, *, head_only: bool) -> bytes:
    content = reply.body.encode()
    return (
        f"HTTP/1.1 {reply.status}\r\nContent-Type: {reply.kind}; charset=utf-8\r\n{reply.headers}"
        f"Content-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    ).encode() + (b"" if head_only else content)
