# SPDX-License-Identifier: Apache-2.0
"""The name in a ClientHello, as a filter on the path reads it (RFC 8446 section 4, RFC 6066)."""

from __future__ import annotations

_HANDSHAKE_RECORD = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HEADER = 5


def server_name(received: bytes) -> str | None:
    """Return the name shown, empty when there is none or this is no ClientHello.

    None means that the hello is not complete yet.
    """
    if not received:
        return None
    if received[0] != _HANDSHAKE_RECORD:
        return ""
    if len(received) < _HEADER:
        return None
    length = int.from_bytes(received[3:5], "big")
    if len(received) < _HEADER + length:
        return None
    try:
        return _name(received[_HEADER : _HEADER + length])
    except (IndexError, UnicodeDecodeError):
        return ""


def _name(message: bytes) -> str:
    if message[0] != _CLIENT_HELLO:
        return ""
    at = 4 + 2 + 32  # type and length, version, random
    at += 1 + message[at]  # session id
    at += 2 + int.from_bytes(message[at : at + 2], "big")  # cipher suites
    at += 1 + message[at]  # compression methods
    end = at + 2 + int.from_bytes(message[at : at + 2], "big")
    at += 2
    while at + 4 <= min(end, len(message)):
        kind = int.from_bytes(message[at : at + 2], "big")
        size = int.from_bytes(message[at + 2 : at + 4], "big")
        body = message[at + 4 : at + 4 + size]
        if kind == _SERVER_NAME and len(body) >= 5 and body[2] == 0:
            return body[5 : 5 + int.from_bytes(body[3:5], "big")].decode("ascii")
        at += 4 + size
    return ""
