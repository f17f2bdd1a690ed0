# SPDX-License-Identifier: Apache-2.0
"""`mtproto`: a Telegram data centre answers `req_pq_multi` in the obfuscated abridged transport.
Telegram Desktop probes a data centre so ("fake req_pq") before it uses a connection.

Success is a `resPQ` with our nonce, or an error of the transport: whoever answers removed the
obfuscation, which is derived from our first 64 bytes, and speaks MTProto. This does not prove that
it is Telegram, because the obfuscation holds no secret. Evidence `known_key` says that the server
names a public key of Telegram's, which anybody can do; only using the private key would be proof.

Sources, read 2026-11-25: core.telegram.org/mtproto/mtproto-transports and /schema/mtproto;
telegramdesktop/tdesktop 006cadcc connection_tcp.cpp, mtproto_dc_options.cpp.
"""

from __future__ import annotations

import os
import struct

from probes.endpoint.endpoint_run import EndpointRun
from probes.protocols.aes import counter_mode
from probes.protocols.app_handshake import exchange_over_tcp
from probes.protocols.public_keys import Entropy
from probes.steps.app import AppRequest, NoReply, Parsed, Reply, is_http

KNOWN_KEYS = {
    0xD09D1D85DE64FD85: "kPublicRSAKeys of tdesktop 006cadcc mtproto_dc_options.cpp",
}
"""Fingerprints of Telegram's RSA keys (low 64 bits of SHA-1 over the TL-serialised key) and source.
A test computes each from its PEM."""
_ABRIDGED = b"\xef\xef\xef\xef"
_START = 64
# The server takes these first bytes for other transports (tdesktop isGoodStartNonce).
_OTHER_STARTS = {b"HEAD", b"POST", b"GET ", b"OPTI", b"\xdd" * 4, b"\xee" * 4, b"\x16\x03\x01\x02"}
_REQ_PQ_MULTI = 0xBE7E8EF1
_RES_PQ = 0x05162463
_VECTOR = 0x1CB5C415
_LONGEST = 1024
_UNENCRYPTED = struct.Struct("<qqI")
_LAST_ERROR = -999
MAX_KEYS = 64


async def measure(run: EndpointRun) -> None:
    """Connect to every address and send `req_pq_multi`; once more when no reply came."""
    await exchange_over_tcp(run, lambda: request(run.network.wall_ms()))


def request(wall_ms: int, entropy: Entropy = os.urandom) -> AppRequest:
    """Return a new request; `wall_ms` is Unix time in milliseconds, for the message id."""
    start = _start(entropy)
    nonce = entropy(16)
    body = struct.pack("<I", _REQ_PQ_MULTI) + nonce
    # Seconds in the upper half; a multiple of four marks a client's message.
    message_id = (wall_ms << 32) // 1000 & ~3
    message = _UNENCRYPTED.pack(0, message_id, len(body)) + body
    plain = start + bytes((len(message) // 4,)) + message
    covered = counter_mode(start[8:40], start[40:56], plain)
    back = start[8:56][::-1]

    def read(received: bytes) -> Parsed:
        if is_http(received):
            return NoReply.FOREIGN
        return parse(counter_mode(back[:32], back[32:], received[:_LONGEST]), nonce)

    return AppRequest(plain[:56] + covered[56:], read)


def _start(entropy: Entropy) -> bytes:
    """Return 64 random bytes that contain the tag of the transport."""
    while True:
        drawn = entropy(_START)
        if drawn[0] != 0xEF and drawn[:4] not in _OTHER_STARTS and any(drawn[4:8]):
            return drawn[:56] + _ABRIDGED + drawn[60:]


def parse(plain: bytes, nonce: bytes) -> Parsed:
    """Parse a decrypted reply: one packet of the abridged transport."""
    if not plain:
        return NoReply.INCOMPLETE
    words, at = plain[0], 1
    if words == 0x7F:
        if len(plain) < 4:
            return NoReply.INCOMPLETE
        words, at = int.from_bytes(plain[1:4], "little"), 4
    if words != 1 and not 20 <= words <= _LONGEST // 4:
        return NoReply.FOREIGN
    packet = plain[at : at + 4 * words]
    if len(packet) < 4 * words:
        return NoReply.INCOMPLETE
    if words == 1:
        (code,) = struct.unpack("<i", packet)
        return Reply("transport_error") if _LAST_ERROR <= code < 0 else NoReply.FOREIGN
    return _res_pq(packet, nonce)


def _res_pq(packet: bytes, nonce: bytes) -> Parsed:
    key, _, length = _UNENCRYPTED.unpack_from(packet)
    body = packet[_UNENCRYPTED.size :]
    if key or length > len(body) or length < 20 or body[4:20] != nonce:
        return NoReply.FOREIGN
    if struct.unpack_from("<I", body)[0] != _RES_PQ:
        return NoReply.FOREIGN
    try:
        at = 36 + -(-(1 + body[36]) // 4) * 4  # pq, padded to whole words
        vector, count = struct.unpack_from("<II", body, at)
        if vector != _VECTOR or count > MAX_KEYS:
            return NoReply.FOREIGN
        keys = struct.unpack_from(f"<{count}Q", body, at + 8)
    except (struct.error, IndexError):
        return NoReply.FOREIGN
    return Reply("res_pq", ("known_key",) if KNOWN_KEYS.keys() & set(keys) else ())
