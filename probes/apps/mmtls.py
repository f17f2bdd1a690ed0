# SPDX-License-Identifier: Apache-2.0
"""WeChat: the ClientHello of mmtls, its own relative of TLS 1.3, on the long and the short link.

The long link sends the record over TCP as it is; the short link posts it to `/mmtls/…` in clear
HTTP. It is the hello of a fresh installation, which has no ticket yet (1-RTT ECDHE), and needs no
account.

Success is a record of mmtls with a ServerHello, or with an alert: somebody there speaks mmtls. What
proves Tencent is a signature in a later record, by a key that the app carries; it is encrypted, and
not read here. That a server answers a hello of protocol f104 with these key numbers is known from
public clients, and was not seen by us.

Sources, read 2026-11-25: citizenlab/wechat-security-report 2fe4dfb8 docs/mmtls-network-format.md;
duo/gommtls 0654e4ff mmtls/client_hello.go (key numbers, end of the key share), 50110353
mmtls_short.go (headers of the short link).
"""

from __future__ import annotations

import os
import re
import struct

from probes.apps.opening import MAX_ANSWER, Opening, Reading, Spoken, Unspoken, is_web
from probes.apps.points import Entropy, p256

_VERSIONS = (b"\xf1\x03", b"\xf1\x04")
"""Of records; inside a hello the bytes are the other way round."""
_HANDSHAKE, _ALERT = 0x16, 0x15
_RECORD = struct.Struct("!B2sH")
_CLIENT_HELLO, _SERVER_HELLO = 1, 2
_ECDHE_ECDSA_AES_128_GCM = 0xC02B
_KEY_SHARE = 0x10
_KEYS = (5, 6)
_END_OF_KEYS = bytes.fromhex("00000000020000000300000004")
_SMALLEST_HELLO = 3 + 2 + 32
_MAX_HEAD = 8192
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")


def opening(wall_ms: int, entropy: Entropy = os.urandom) -> Opening:
    """The first exchange of the long link; `wall_ms` is Unix time in milliseconds."""
    return Opening(_hello(wall_ms, entropy), _long)


def http_opening(host: str, wall_ms: int, entropy: Entropy = os.urandom) -> Opening:
    """The first exchange of the short link; `host` goes into the Host header."""
    body = _hello(wall_ms, entropy)
    head = (
        f"POST /mmtls/{entropy(4).hex()} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n"
        "Cache-Control: no-cache\r\nConnection: Keep-Alive\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/octet-stream\r\n"
        "Upgrade: mmtls\r\nUser-Agent: MicroMessenger Client\r\n\r\n"
    )
    return Opening(head.encode("ascii", "replace") + body, _short)


def _sized(content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + content


def _hello(wall_ms: int, entropy: Entropy) -> bytes:
    keys = b"".join(
        _sized(struct.pack("!I", number) + struct.pack("!H", len(point)) + point)
        for number, point in ((number, p256(entropy)) for number in _KEYS)
    )
    share = struct.pack("!HB", _KEY_SHARE, len(_KEYS)) + keys + _END_OF_KEYS
    hello = (
        struct.pack("!B2sBH", _CLIENT_HELLO, b"\x04\xf1", 1, _ECDHE_ECDSA_AES_128_GCM)
        + entropy(32)
        + struct.pack("!I", wall_ms // 1000 & 0xFFFFFFFF)
        + _sized(b"\x01" + _sized(share))
    )
    content = _sized(hello)
    return _RECORD.pack(_HANDSHAKE, _VERSIONS[1], len(content)) + content


def _long(received: bytes) -> Reading:
    return Unspoken.FOREIGN if is_web(received) else reading(received)


def reading(received: bytes) -> Reading:
    """Read what came over the long link: the first record decides."""
    if len(received) < _RECORD.size:
        possible = received[:1] in (b"", b"\x15", b"\x16") and b"\xf1".startswith(received[1:2])
        return Unspoken.MORE if possible else Unspoken.FOREIGN
    kind, version, length = _RECORD.unpack_from(received)
    if version not in _VERSIONS or kind not in (_HANDSHAKE, _ALERT):
        return Unspoken.FOREIGN
    if not 0 < length <= MAX_ANSWER - _RECORD.size:
        return Unspoken.FOREIGN
    content = received[_RECORD.size : _RECORD.size + length]
    if len(content) < length:
        return Unspoken.MORE
    if kind == _ALERT:
        return Spoken("alert")
    inner = content[4:]
    whole = content[:4] == struct.pack("!I", len(inner)) and len(inner) >= _SMALLEST_HELLO
    if whole and inner[0] == _SERVER_HELLO and inner[2:0:-1] in _VERSIONS:
        return Spoken("server_hello")
    return Unspoken.FOREIGN


def _short(received: bytes) -> Reading:
    """Read an HTTP answer whose body is a record."""
    if len(received) < 12:
        known = b"HTTP/1."[: len(received)]
        return Unspoken.MORE if received.startswith(known) else Unspoken.FOREIGN
    status = _STATUS.match(received)
    if status is None or status[1] != b"200":
        return Unspoken.FOREIGN
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return Unspoken.FOREIGN if len(received) > _MAX_HEAD else Unspoken.MORE
    if re.search(rb"(?i)\r\ntransfer-encoding:[ \t]*chunked", head):
        size, end, body = body.partition(b"\r\n")
        if not end:
            return Unspoken.MORE if len(size) < 16 else Unspoken.FOREIGN
    return reading(body)
