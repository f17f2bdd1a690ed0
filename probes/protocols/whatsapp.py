# SPDX-License-Identifier: Apache-2.0
"""`whatsapp`: a chat server answers the first message of WhatsApp's Noise handshake (XX, 25519,
AESGCM, SHA256) over TCP.

Success is a ServerHello: an ephemeral key, an encrypted static key and an encrypted certificate, of
the right lengths. The certificate proves WhatsApp to its client, but is not decrypted here. So the
reply shows that a server speaks WhatsApp's protocol, not that it is WhatsApp's.

Sources, read 2026-11-25: tgalal/consonance 1833e432 (segments, handshake over TCP to
e1.whatsapp.net:443); Auties00/Cobalt SocketHandshake.java (header of the mobile apps);
tulir/whatsmeow 0057a822 handshake.go (ServerHello and what its certificate is verified by).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from probes.endpoint.endpoint_run import EndpointRun
from probes.protocols.app_handshake import exchange_over_tcp
from probes.protocols.public_keys import Entropy, x25519
from probes.steps.app import MAX_REPLY_BYTES, AppRequest, NoReply, Parsed, Reply, is_http

HEADER = b"WA\x05\x03"
"""Protocol 5 (the mobile apps') with dictionary 3 (what public clients send in 2025)."""
_CLIENT_HELLO, _SERVER_HELLO = 2, 3
_EPHEMERAL, _STATIC, _PAYLOAD = 1, 2, 3
_KEY, _TAG = 32, 16
_LENGTH = 3


async def measure(run: EndpointRun) -> None:
    """Connect to every address and send the ClientHello; once more when no ServerHello came."""
    await exchange_over_tcp(run, request)


def request(entropy: Entropy = os.urandom) -> AppRequest:
    """Return a new request."""
    hello = field(_CLIENT_HELLO, field(_EPHEMERAL, x25519(entropy)))
    return AppRequest(HEADER + segment(hello), parse)


def segment(message: bytes) -> bytes:
    """Return a message with its length in front, in three bytes."""
    return len(message).to_bytes(_LENGTH, "big") + message


def field(number: int, content: bytes) -> bytes:
    """Return a protobuf field of bytes; the content must be shorter than 16,384 bytes."""
    size = len(content)
    length = bytes((size,)) if size < 128 else bytes((size & 127 | 128, size >> 7))
    return bytes((number << 3 | 2,)) + length + content


def parse(received: bytes) -> Parsed:
    """Parse everything received: one segment that holds a ServerHello."""
    if is_http(received):
        return NoReply.FOREIGN
    length = int.from_bytes(received[:_LENGTH], "big")
    if len(received) >= _LENGTH and not 2 * _KEY <= length <= MAX_REPLY_BYTES - _LENGTH:
        return NoReply.FOREIGN
    if len(received) < _LENGTH or len(received) < _LENGTH + length:
        return NoReply.INCOMPLETE
    hello = dict(_fields(received[_LENGTH : _LENGTH + length])).get(_SERVER_HELLO, b"")
    parts = dict(_fields(hello))
    right = (
        len(parts.get(_EPHEMERAL, b"")) == _KEY
        and len(parts.get(_STATIC, b"")) == _KEY + _TAG
        and len(parts.get(_PAYLOAD, b"")) > _TAG
    )
    return Reply("server_hello") if right else NoReply.FOREIGN


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield fields of bytes in order, up to the first thing that is none."""
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
