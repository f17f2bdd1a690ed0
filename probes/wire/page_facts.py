# SPDX-License-Identifier: Apache-2.0
"""What is told of a page in place of the page: the shape of its title, and the head of an answer in
clear text that came in place of an app's.

Made at the probe, and at the monitor of what probes sent whole.
"""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple
from urllib.parse import urlsplit

from probes.wire.block_pages import phrases_in
from probes.wire.observation import PageHead, TitleShape

MOST_WORDS = 8
_WORD = re.compile(r"[^\W\d_]+")
"""Letters alone: a title may quote the reader's address, and a hash of a number is no secret."""
_LONG = 5
"""Shorter words are common to titles of all kinds."""
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_LOCATION = re.compile(rb"(?i)\nlocation:[ \t]*([!-~]{1,500})")
_TITLE = re.compile(rb"(?i)<title>([^<]{1,200})</title")
_PAGE_HEADS = (b"<html", b"<!doctype")


def long_words(title: str) -> list[str]:
    """Return the longer words of a title."""
    return [word for word in _words(title) if len(word) >= _LONG]


def _words(title: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(title)]


def title_shape(title: str) -> TitleShape:
    """Return the shape of a title."""
    words = _words(title)
    long = sorted(set(map(_hash, long_words(title))))[:MOST_WORDS]
    return TitleShape(
        length=len(title),
        letters=_hash(" ".join(words)) if words else b"",
        words=b"".join(long),
    )


def _hash(text: str) -> bytes:
    return zlib.crc32(text.encode("utf-8", "replace")).to_bytes(4, "big")


class ClearText(NamedTuple):
    """An answer in clear-text HTTP, or a bare page, as far as its first bytes go."""

    status: int | None
    location: str
    title: str
    body: bytes


def clear_text(received: bytes) -> ClearText | None:
    """Return what the first bytes of an answer are; None when they are no page."""
    head, _, body = received.partition(b"\r\n\r\n")
    status = _STATUS.match(head)
    if status is None:
        head, body = b"", received
        if not body.lstrip().lower().startswith(_PAGE_HEADS):
            return None
    location, title = _LOCATION.search(head), _TITLE.search(body)
    return ClearText(
        status=int(status[1]) if status else None,
        location=location[1].decode("ascii") if location else "",
        title=title[1].decode("utf-8", "replace").strip() if title else "",
        body=body,
    )


def page_head(received: bytes) -> PageHead | None:
    """Return what is told of an answer in clear text, by its first bytes; None when they are no
    page."""
    answer = clear_text(received)
    if answer is None:
        return None
    return PageHead(
        status=answer.status,
        location=place(answer.location) if answer.location else None,
        known_pages=phrases_in(answer.title, answer.body),
    )


def place(location: str) -> str:
    """Return where a redirect leads: scheme and host, without what may tell who was redirected."""
    try:
        parts = urlsplit(location.strip())
        port = "" if parts.port is None else f":{parts.port}"
    except ValueError:
        return ""
    if not parts.hostname:
        return "/"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}{':' if parts.scheme else ''}//{host}{port}/"
