"""What a ClientHello and its answer tell whoever reads along: the name, and the version."""

from __future__ import annotations

import struct


def whole_hello(head: bytes) -> bool:
    """The first TLS record is complete (or this is no TLS)."""
    if head[:1] != b"\x16":
        return True
    return len(head) >= 5 and len(head) >= 5 + int.from_bytes(head[3:5], "big")


def server_name(hello: bytes) -> str:
    """Return the name in a ClientHello, empty when there is none (RFC 8446, RFC 6066)."""
    try:
        at = 5 + 4 + 2 + 32
        at += 1 + hello[at]
        at += 2 + int.from_bytes(hello[at : at + 2], "big")
        at += 1 + hello[at]
        end = at + 2 + int.from_bytes(hello[at : at + 2], "big")
        at += 2
        while at + 4 <= end:
            kind, length = struct.unpack_from("!HH", hello, at)
            if kind == 0:
                return hello[at + 9 : at + 4 + length].decode("ascii", "replace").lower()
            at += 4 + length
    except (IndexError, struct.error):
        pass
    return ""


_VERSIONS = 43
"""The extension by which a ServerHello says that it chose TLS 1.3 (RFC 8446, 4.2.1)."""


def chooses_tls13(answer: bytes) -> bool:
    """Whether the server's first bytes are a ServerHello that chooses TLS 1.3."""
    if answer[:1] != b"\x16" or answer[5:6] != b"\x02":
        return False
    try:
        at = 5 + 4 + 2 + 32
        at += 1 + answer[at] + 2 + 1
        end = at + 2 + int.from_bytes(answer[at : at + 2], "big")
        at += 2
        while at + 4 <= end:
            kind, length = struct.unpack_from("!HH", answer, at)
            if kind == _VERSIONS:
                return True
            at += 4 + length
    except (IndexError, struct.error):
        pass
    return False
