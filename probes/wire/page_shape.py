# SPDX-License-Identifier: Apache-2.0
"""The shape of a page in clear text: enough to tell another page from the same one, and too little
to read it. Words and header names leave the machine as a few hashes only.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

from probes.wire.observation import PageShape

MOST_HASHES = 16
"""Of each kind: the smallest ones, which are a random sample of the set and the same sample for the
same set (Broder, "On the resemblance and containment of documents", 1997)."""
_WORD = re.compile(rb"[A-Za-z\x80-\xff]{3,64}")
"""Letters alone: block pages quote the reader's address, and a hash of a number is no secret."""
_COMMON_HEADERS = frozenset(
    b"accept-ranges age alt-svc cache-control connection content-encoding content-language "
    b"content-length content-type date etag expires keep-alive last-modified location pragma "
    b"server set-cookie strict-transport-security transfer-encoding vary via x-powered-by".split()
)
"""Headers that servers of every kind send; a shared one says nothing (compare OONI's
`headers_match`, ooni/spec ts-017, read 2026-11)."""


def page_shape(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> PageShape:
    """Return the shape of an answer with these headers and the beginning of its body."""
    names = {name.lower() for name, _ in headers} - _COMMON_HEADERS
    words = {word.lower() for word in _WORD.findall(body)}
    return PageShape(size=len(body), words=_sample(words), headers=_sample(names))


def _sample(texts: Iterable[bytes]) -> bytes:
    smallest = sorted({zlib.crc32(text) for text in texts})[:MOST_HASHES]
    return b"".join(number.to_bytes(4, "big") for number in smallest)
