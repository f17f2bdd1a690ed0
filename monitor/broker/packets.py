# SPDX-License-Identifier: Apache-2.0
"""The few MQTT 3.1.1 packets that the embedded broker's gate looks into (OASIS MQTT 3.1.1).

Bytes to values and back, nothing else: no access rule, no connection. Whatever is malformed
raises `PacketError`, upon which the gate closes the connection, as the standard wants.
"""

from __future__ import annotations

import asyncio
import struct
from typing import NamedTuple

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT = 8, 10, 12, 14
FROM_CLIENT = frozenset((PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT))
"""What a client may send after its CONNECT, as long as nobody uses QoS 2."""

REFUSED_VERSION, REFUSED_UNAVAILABLE, REFUSED_CREDENTIALS, REFUSED_ACCESS = 1, 3, 4, 5


class PacketError(Exception):
    """Not MQTT 3.1.1, or over a limit. The text is one line."""


class Packet(NamedTuple):
    """One packet: its type, the four flag bits, and what follows the fixed header."""

    kind: int
    flags: int
    body: bytes

    def encode(self) -> bytes:
        """Return the packet's bytes."""
        length, size = bytearray(), len(self.body)
        while True:
            size, digit = divmod(size, 128)
            length.append(digit | (0x80 if size else 0))
            if not size:
                return bytes((self.kind << 4 | self.flags,)) + bytes(length) + self.body


class Connect(NamedTuple):
    """A CONNECT packet of protocol level 4."""

    level: int
    flags: int
    keepalive: int
    client_id: bytes
    will_topic: str | None
    will_payload: bytes
    user: str | None
    secret: str | None

    @property
    def will_retain(self) -> bool:
        """The will asks to be retained."""
        return bool(self.flags & 0x20)

    @property
    def will_qos(self) -> int:
        """QoS of the will."""
        return self.flags >> 3 & 3

    def admitted(self, client_id: str) -> bytes:
        """The CONNECT as the broker behind the gate sees it: this client id, a clean session,
        no keepalive (the gate watches it), and no secret."""
        flags = (self.flags | 0x02) & ~0x40
        body = b"".join(
            (
                b"\x00\x04MQTT\x04",
                struct.pack("!BH", flags, 0),
                _field(client_id.encode()),
                b""
                if self.will_topic is None
                else _field(self.will_topic.encode()) + _field(self.will_payload),
                b"" if self.user is None else _field(self.user.encode()),
            )
        )
        return Packet(CONNECT, 0, body).encode()


class Publish(NamedTuple):
    """The head of a PUBLISH packet."""

    topic: str
    qos: int
    retain: bool
    packet_id: int


def _field(value: bytes) -> bytes:
    return struct.pack("!H", len(value)) + value


class _BodyReader:
    """Reads fields of a body from left to right."""

    def __init__(self, body: bytes) -> None:
        self.body, self.at = body, 0

    def read(self, size: int) -> bytes:
        if self.at + size > len(self.body):
            raise PacketError("packet is truncated")
        self.at += size
        return self.body[self.at - size : self.at]

    def number(self, size: int) -> int:
        return int.from_bytes(self.read(size), "big")

    def field(self) -> bytes:
        return self.read(self.number(2))

    def text(self) -> str:
        try:
            text = self.field().decode()
        except UnicodeDecodeError:
            raise PacketError("a string is not UTF-8") from None
        if "\0" in text:
            raise PacketError("a string contains NUL")
        return text

    @property
    def done(self) -> bool:
        return self.at == len(self.body)


async def read_packet(reader: asyncio.StreamReader, limit: int) -> Packet:
    """Read one packet of at most `limit` bytes after the fixed header.

    Raises PacketError, asyncio.IncompleteReadError at the end of the stream, or OSError.
    """
    head = (await reader.readexactly(1))[0]
    size, shift = 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        size |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            break
        if shift > 21:
            raise PacketError("malformed packet length")
    if size > limit:
        raise PacketError(f"packet of {size} bytes, at most {limit}")
    return Packet(head >> 4, head & 0x0F, await reader.readexactly(size))


def parse_connect(packet: Packet) -> Connect:
    """Return the CONNECT. Raises PacketError; a later protocol level is returned with nothing
    but its level, because its body has another form."""
    if packet.kind != CONNECT or packet.flags:
        raise PacketError("the first packet is not CONNECT")
    cursor = _BodyReader(packet.body)
    name, level = cursor.field(), cursor.number(1)
    if name != b"MQTT" or level < 4:
        raise PacketError("not MQTT 3.1.1")
    if level > 4:
        return Connect(level, 0, 0, b"", None, b"", None, None)
    flags, keepalive, client_id = cursor.number(1), cursor.number(2), cursor.field()
    has_will, has_user, has_secret = flags & 0x04, flags & 0x80, flags & 0x40
    if flags & 0x01 or (flags & 0x38 and not has_will):
        raise PacketError("malformed CONNECT flags")
    connect = Connect(
        level,
        flags,
        keepalive,
        client_id,
        cursor.text() if has_will else None,
        cursor.field() if has_will else b"",
        cursor.text() if has_user else None,
        cursor.text() if has_secret else None,
    )
    if not cursor.done:
        raise PacketError("bytes after the end of CONNECT")
    return connect


def parse_publish(packet: Packet) -> Publish:
    """Return the head of a PUBLISH. Raises PacketError."""
    cursor, qos = _BodyReader(packet.body), packet.flags >> 1 & 3
    topic = cursor.text()
    if not topic or "+" in topic or "#" in topic:
        raise PacketError("a topic is empty or has a wildcard")
    return Publish(topic, qos, bool(packet.flags & 1), cursor.number(2) if qos else 0)


def parse_subscribe(packet: Packet) -> tuple[int, list[tuple[str, int]]]:
    """Return packet id and (filter, QoS) of a SUBSCRIBE. Raises PacketError."""
    cursor = _BodyReader(packet.body)
    packet_id, filters = cursor.number(2), []
    while not cursor.done:
        filters.append((cursor.text(), cursor.number(1)))
    if not filters or any(qos > 2 for _, qos in filters):
        raise PacketError("malformed SUBSCRIBE")
    return packet_id, filters


def subscribe(packet_id: int, filters: list[tuple[str, int]]) -> bytes:
    """Return the bytes of a SUBSCRIBE."""
    body = struct.pack("!H", packet_id) + b"".join(
        _field(name.encode()) + bytes((qos,)) for name, qos in filters
    )
    return Packet(SUBSCRIBE, 2, body).encode()


def puback(packet_id: int) -> bytes:
    """Return the bytes of a PUBACK."""
    return Packet(PUBACK, 0, struct.pack("!H", packet_id)).encode()


def connack(code: int) -> bytes:
    """Return the bytes of a CONNACK without a session."""
    return Packet(CONNACK, 0, bytes((0, code))).encode()
