# SPDX-License-Identifier: Apache-2.0
"""What a first exchange is: something to say, and how to read the answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

MAX_ANSWER: Final = 16384
"""Bytes of an answer that are read at most; those of every protocol here are far shorter."""
_WEB_HEADS = (b"HTTP/", b"<!DOC", b"<!doc", b"<HTML", b"<html")


@dataclass(frozen=True)
class Spoken:
    """The answer is one of this protocol, as far as a stranger can tell."""

    reply: str
    """Kind of answer in a word."""
    evidence: tuple[str, ...] = ()


class Unspoken(Enum):
    """The bytes so far are no whole answer."""

    MORE = "more"
    """They may become one."""
    FOREIGN = "foreign"
    """They never will: it is something else that answers."""


Reading = Spoken | Unspoken


@dataclass(frozen=True)
class Opening:
    """A first exchange, ready to be made once: it holds fresh random numbers."""

    hello: bytes
    """What the app sends first."""
    read: Callable[[bytes], Reading]
    """Reads everything received so far (or one datagram). Total: any bytes have a reading."""
    excerpt: bool = True
    """A foreign answer may be quoted: answers hold nothing of who asked."""


def is_web(received: bytes) -> bool:
    """Someone answers in clear-text HTTP, or with a bare page, whatever was asked."""
    return any(received.startswith(head) for head in _WEB_HEADS)
