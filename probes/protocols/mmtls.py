# SPDX-License-Identifier: Apache-2.0
"""`mmtls` and `mmtls-http`: WeChat's long and short link answer a ClientHello of mmtls, its own
variant of TLS 1.3.

The long link carries the record over TCP as it is; the short link posts it to `/mmtls/…` in clear
HTTP. The hello is that of a new installation without a ticket (1-RTT ECDHE) and needs no account.

Success is a record of mmtls with a ServerHello, or with an alert: a server speaks mmtls. A
signature in a later record would prove Tencent; it is encrypted and not read here. That servers
answer a hello of protocol f104 with these key numbers is known from public clients; we have not
seen it.

Sources, read 2026-11-25: citizenlab/wechat-security-report 2fe4dfb8 docs/mmtls-network-format.md;
duo/gommtls 0654e4ff mmtls/client_hello.go (key numbers, end of the key share), 50110353
mmtls_short.go (headers of the short link).
"""

from __future__ import annotations

import os
import re
import struct

from probes.endpoint.endpoint_run import EndpointRun
from probes.protocols.app_handshake import exchange_over_tcp
from probes.protocols.public_keys import Entropy, p256
from probes.steps.app import MAX_REPLY_BYTES, AppRequest, NoReply, Parsed, Reply, is_http

_VERSIONS = (b"\xf1\x03", b"\xf1\x04")
"""Of records; inside a hello the byte order is reversed."""
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


async def measure(run: EndpointRun) -> None:
    """Connect to every address and send the ClientHello; once more when no record came."""
    host = run.endpoint.server_name or run.endpoint.address
    if run.endpoint.protocol == "mmtls-http":
        await exchange_over_tcp(run, lambda: short_link_request(host, run.network.wall_ms()))
    else:
        await exchange_over_tcp(run, lambda: request(run.network.wall_ms()))


def request(wall_ms: int, entropy: Entropy = os.urandom) -> AppRequest:
    """Return a new request of the long link; `wall_ms` is Unix time in milliseconds."""
    return AppRequest(_hello(wall_ms, entropy), _long)


def short_link_request(host: str, wall_ms: int, entropy: Entropy = os.urandom) -> AppRequest:
    """Return a new request of the short link; `host` goes into the Host header."""
    body = _hello(wall_ms, entropy)
    head = (
        f"POST /mmtls/{entropy(4).hex()} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n"
        "Cache-Control: no-cache\r\nConnection: Keep-Alive\r\n"
        f"Content-Length: {len(body)}\r\nContent-Type: application/octet-stream\r\n"
        "Upgrade: mmtls\r\nUser-Agent: MicroMessenger Client\r\n\r\n"
    )
    return AppRequest(head.encode("ascii", "replace") + body, _short)


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


def _long(received: bytes) -> Parsed:
    return NoReply.FOREIGN if is_http(received) else parse(received)


def parse(received: bytes) -> Parsed:
    """Parse what came over the long link: the first record decides."""
    if len(received) < _RECORD.size:
        possible = received[:1] in (b"", b"\x15", b"\x16") and b"\xf1".startswith(received[1:2])
        return NoReply.INCOMPLETE if possible else NoReply.FOREIGN
    kind, version, length = _RECORD.unpack_from(received)
    if version not in _VERSIONS or kind not in (_HANDSHAKE, _ALERT):
        return NoReply.FOREIGN
    if not 0 < length <= MAX_REPLY_BYTES - _RECORD.size:
        return NoReply.FOREIGN
    content = received[_RECORD.size : _RECORD.size + length]
    if len(content) < length:
        return NoReply.INCOMPLETE
    if kind == _ALERT:
        return Reply("alert")
    inner = content[4:]
    whole = content[:4] == struct.pack("!I", len(inner)) and len(inner) >= _SMALLEST_HELLO
    if whole and inner[0] == _SERVER_HELLO and inner[2:0:-1] in _VERSIONS:
        return Reply("server_hello")
    return NoReply.FOREIGN


def _short(received: bytes) -> Parsed:
    """Parse an HTTP response whose body is a record."""
    if len(received) < 12:
        known = b"HTTP/1."[: len(received)]
        return NoReply.INCOMPLETE if received.startswith(known) else NoReply.FOREIGN
    status = _STATUS.match(received)
    if status is None or status[1] != b"200":
        return NoReply.FOREIGN
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return NoReply.FOREIGN if len(received) > _MAX_HEAD else NoReply.INCOMPLETE
    if re.search(rb"(?i)\r\ntransfer-encoding:[ \t]*chunked", head):
        size, end, body = body.partition(b"\r\n")
        if not end:
            return NoReply.INCOMPLETE if len(size) < 16 else NoReply.FOREIGN
    return parse(body)
