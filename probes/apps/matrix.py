# SPDX-License-Identifier: Apache-2.0
"""Matrix: a client's first request to a homeserver, `GET /_matrix/client/versions`, over TLS.

Success is status 200 and a JSON object with a list `versions`: a homeserver answered, and TLS
before it has proved whose. It does not prove that messages go through: that needs an account.

Source: Matrix specification v1.11, Client-Server API, "API Versions".
"""

from __future__ import annotations

import json
import re

from probes.apps.opening import MAX_ANSWER, Opening, Reading, Spoken, Unspoken

PATH = "/_matrix/client/versions"
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length:[ \t]*(\d{1,6})[ \t]*\r\n")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding:[ \t]*chunked")


def opening(host: str, path: str = PATH) -> Opening:
    """Return the first exchange with a homeserver; `path` is the catalogue's."""
    # As a browser's fetch asks: the web client is one.
    hello = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: keep-alive\r\n"
        "Accept: application/json\r\nUser-Agent: Mozilla/5.0 (Linux; Android 10; K) "
        "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36\r\n\r\n"
    )
    return Opening(hello.encode("ascii", "replace"), reading)


def reading(received: bytes) -> Reading:
    """Read everything received."""
    head, end, body = received.partition(b"\r\n\r\n")
    if not received.startswith(b"HTTP/1."[: len(received)]):
        return Unspoken.FOREIGN
    if not end:
        return Unspoken.FOREIGN if len(received) >= MAX_ANSWER else Unspoken.MORE
    status = _STATUS.match(head)
    if status is None or status[1] != b"200":
        return Unspoken.FOREIGN
    whole = _whole(head + b"\r\n", body)
    if whole is None:
        return Unspoken.FOREIGN if len(received) >= MAX_ANSWER else Unspoken.MORE
    try:
        said = json.loads(whole)
    except (ValueError, RecursionError):
        return Unspoken.FOREIGN
    right = isinstance(said, dict) and isinstance(said.get("versions"), list)
    return Spoken("versions") if right else Unspoken.FOREIGN


def _whole(head: bytes, body: bytes) -> bytes | None:
    """The body, when all of it is there."""
    if _CHUNKED.search(head):
        parts: list[bytes] = []
        while True:
            size, end, body = body.partition(b"\r\n")
            if not end or not re.fullmatch(rb"[0-9A-Fa-f]{1,6}", size.partition(b";")[0].strip()):
                return None
            count = int(size.partition(b";")[0], 16)
            if count == 0:
                return b"".join(parts)
            if len(body) < count + 2:
                return None
            parts.append(body[:count])
            body = body[count + 2 :]
    length = _LENGTH.search(head)
    if length is None or len(body) < int(length[1]):
        return None
    return body[: int(length[1])]
