# SPDX-License-Identifier: Apache-2.0
"""WhatsApp: the first message of its Noise handshake (XX, 25519, AESGCM, SHA256) over TCP.

Success is a ServerHello: an ephemeral key, an encrypted static key and an encrypted certificate, of
the right lengths. The certificate is what proves WhatsApp to its client; to open it one needs the
secret half of the key sent and AES-GCM, and a stranger without an account gains little more by it.
So this says that somebody there speaks WhatsApp's protocol, not that it is WhatsApp.

Sources, read 2026-11-25: tgalal/consonance 1833e432 (segments, handshake over TCP to
e1.whatsapp.net:443); Auties00/Cobalt SocketHandshake.java (header of the mobile apps);
tulir/whatsmeow 0057a822 handshake.go (ServerHello and what its certificate is verified by).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from probes.apps.opening import MAX_ANSWER, Opening, Reading, Spoken, Unspoken, is_web
from probes.apps.points import Entropy, x25519

HEADER = b"WA\x05\x03"
"""Protocol 5 (the mobile apps') with dictionary 3 (what public clients send in 2025)."""
_CLIENT_HELLO, _SERVER_HELLO = 2, 3
_EPHEMERAL, _STATIC, _PAYLOAD = 1, 2, 3
_KEY, _TAG = 32, 16
_LENGTH = 3


def opening(entropy: Entropy = os.urandom) -> Opening:
    """Return a fresh first exchange."""
    hello = field(_CLIENT_HELLO, field(_EPHEMERAL, x25519(entropy)))
    return Opening(HEADER + segment(hello), reading)


def segment(message: bytes) -> bytes:
    """A message with its length in front, three bytes."""
    return len(message).to_bytes(_LENGTH, "big") + message


def field(number: int, content: bytes) -> bytes:
    """A protobuf field of bytes; content shorter than 16,384 bytes."""
    size = len(content)
    length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
    return bytes((number << 3 | 2,)) + length + content


def reading(received: bytes) -> Reading:
    """Read everything received: one segment that holds a ServerHello."""
    if is_web(received):
        return Unspoken.FOREIGN
    length = int.from_bytes(received[:_LENGTH], "big")
    if len(received) >= _LENGTH and not 2 * _KEY <= length <= MAX_ANSWER - _LENGTH:
        return Unspoken.FOREIGN
    if len(received) < _LENGTH or len(received) < _LENGTH + length:
        return Unspoken.MORE
    hello = dict(_fields(received[_LENGTH : _LENGTH + length])).get(_SERVER_HELLO, b"")
    parts = dict(_fields(hello))
    right = (
        len(parts.get(_EPHEMERAL, b"")) == _KEY
        and len(parts.get(_STATIC, b"")) == _KEY + _TAG
        and len(parts.get(_PAYLOAD, b"")) > _TAG
    )
    return Spoken("server_hello") if right else Unspoken.FOREIGN


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Fields of bytes, in order, up to the first thing that is none."""
    at = 0
    while at < len(message) and message[at] & 7 == 2:
        number, at = message[at] >> 3, at + 1
        length = shift = 0
        while True:
            if at >= len(message) or shift > 21:
                return
            length |= (message[at] & 127) << shift
            at, shift = at + 1, shift + 7
            if message[at - 1] < 128:
                break
        if at + length > len(message):
            return
        yield number, message[at : at + length]
        at += length
