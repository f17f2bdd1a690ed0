# SPDX-License-Identifier: Apache-2.0
"""MQTT 3.1.1 and 5 control packets, as a broker reads and writes them (OASIS standards).

Bytes to values and back, nothing else: no access rule, no connection. Whatever is malformed
raises PacketError, upon which the connection ends, as the standards want.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from enum import IntEnum
from typing import NamedTuple

import msgspec

from monitor.broker import properties
from monitor.broker.properties import (
    NONE,
    BodyReader,
    PacketError,
    Properties,
    Property,
    Reason,
    field,
)

V311, V5 = 4, 5
"""Protocol levels."""
MAX_FILTERS = 100
"""Filters in one SUBSCRIBE or UNSUBSCRIBE."""
MAX_FILTER_LEVELS = 16


class PacketType(IntEnum):
    """Types of control packets."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14


_FLAGS: dict[int, int] = {
    PacketType.CONNECT: 0,
    PacketType.PUBACK: 0,
    PacketType.SUBSCRIBE: 2,
    PacketType.UNSUBSCRIBE: 2,
    PacketType.PINGREQ: 0,
    PacketType.DISCONNECT: 0,
}
"""What a client may send, besides PUBLISH, and the flags that it must have. Without QoS 2 there
is no PUBREC, PUBREL and PUBCOMP; without enhanced authentication there is no AUTH."""
_CONNACK_311 = {
    Reason.SUCCESS: 0,
    Reason.UNSUPPORTED_VERSION: 1,
    Reason.SERVER_UNAVAILABLE: 3,
    Reason.BAD_CREDENTIALS: 4,
}
"""Return codes of 3.1.1; every other refusal is 5, not authorized."""


class Packet(NamedTuple):
    """One packet: its type, the four flag bits, and what follows the fixed header."""

    kind: int
    flags: int
    body: bytes

    def encode(self) -> bytes:
        """Return the packet's bytes."""
        return (
            bytes((self.kind << 4 | self.flags,)) + properties.variable(len(self.body)) + self.body
        )


class AppMessage(msgspec.Struct, frozen=True):
    """An application message."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Properties = NONE
    """Those that its subscribers get (MQTT 5)."""


class Connect(msgspec.Struct, frozen=True, kw_only=True):
    """A CONNECT packet."""

    level: int
    clean: bool = True
    keepalive: int = 0
    """Seconds; 0: none."""
    client_id: str = ""
    will: AppMessage | None = None
    user: str | None = None
    secret: str | None = None
    properties: Properties = NONE


class Publish(msgspec.Struct, frozen=True):
    """A PUBLISH packet of a client."""

    message: AppMessage
    packet_id: int
    """0 with QoS 0."""


class Subscription(msgspec.Struct, frozen=True):
    """One filter of a SUBSCRIBE with its options; those after `qos` exist in MQTT 5 alone."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0
    """Send retained messages: 0 always, 1 unless it is subscribed already, 2 never."""


class Subscribe(msgspec.Struct, frozen=True):
    """A SUBSCRIBE packet."""

    packet_id: int
    subscriptions: tuple[Subscription, ...]


class Unsubscribe(msgspec.Struct, frozen=True):
    """An UNSUBSCRIBE packet."""

    packet_id: int
    filters: tuple[str, ...]


class Splitter:
    """Cuts a stream of bytes into packets of at most `limit` bytes after the fixed header."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._buffer = bytearray()
        self._at = 0
        self._error: PacketError | None = None

    def add(self, data: bytes) -> None:
        """Take bytes."""
        del self._buffer[: self._at]
        self._at = 0
        self._buffer += data

    def fail(self, error: PacketError) -> None:
        """Raise this from now on."""
        self._error = error

    def next(self) -> Packet | None:
        """Return the next packet, None when it is not complete. Raises PacketError as soon as it
        is known to be too large, or none that a client sends."""
        if self._error is not None:
            raise self._error
        buffer, at = self._buffer, self._at
        if len(buffer) - at < 2:
            return None
        kind, flags = buffer[at] >> 4, buffer[at] & 0x0F
        if kind != PacketType.PUBLISH and _FLAGS.get(kind) != flags:
            raise PacketError(f"no client sends a packet {buffer[at]:#04x}")
        size, start = self._length()
        if size > self.limit:
            raise PacketError(
                f"packet of {size} bytes, at most {self.limit}", Reason.PACKET_TOO_LARGE
            )
        if not start or start + size > len(buffer):
            return None
        self._at = start + size
        return Packet(kind, flags, bytes(buffer[start : self._at]))

    def _length(self) -> tuple[int, int]:
        """The remaining length of the next packet and where its body begins, 0 when more bytes are
        needed to tell."""
        size = 0
        for place in range(4):
            index = self._at + 1 + place
            if index >= len(self._buffer):
                return 0, 0
            digit = self._buffer[index]
            size |= (digit & 0x7F) << 7 * place
            if not digit & 0x80:
                return size, index + 1
        raise PacketError("malformed packet length")


def parse_connect(packet: Packet) -> Connect:
    """Return the CONNECT. Raises PacketError; of a level that is not known nothing but the level
    is returned, because its body has another form."""
    if packet.kind != PacketType.CONNECT:
        raise PacketError("the first packet is not CONNECT", Reason.PROTOCOL_ERROR)
    reader = BodyReader(packet.body)
    name, level = reader.field(), reader.number(1)
    if (name, level) not in ((b"MQTT", V311), (b"MQTT", V5)):
        if name in (b"MQTT", b"MQIsdp"):
            return Connect(level=level)
        raise PacketError("not MQTT", Reason.UNSUPPORTED_VERSION)
    flags, keepalive = reader.number(1), reader.number(2)
    has_user, has_secret, has_will = flags & 0x80, flags & 0x40, flags & 0x04
    if flags & 0x01 or (flags & 0x38 and not has_will) or flags & 0x18 == 0x18:
        raise PacketError("malformed CONNECT flags")
    if level == V311 and has_secret and not has_user:
        raise PacketError("malformed CONNECT flags")
    given = reader.properties(properties.IN_CONNECT) if level == V5 else NONE
    client_id = reader.text()
    will = None
    if has_will:
        will_properties = reader.properties(properties.IN_WILL) if level == V5 else NONE
        topic, payload = _topic(reader), reader.field()
        kept = {k: v for k, v in will_properties.items() if k in properties.FORWARDED}
        will = AppMessage(topic, payload, flags >> 3 & 3, bool(flags & 0x20), kept)
    connect = Connect(
        level=level,
        clean=bool(flags & 0x02),
        keepalive=keepalive,
        client_id=client_id,
        will=will,
        user=reader.text() if has_user else None,
        secret=reader.text() if has_secret else None,
        properties=given,
    )
    if not reader.done:
        raise PacketError("bytes after the end of CONNECT")
    return connect


def parse_publish(packet: Packet, level: int) -> Publish:
    """Return the PUBLISH. Raises PacketError."""
    reader, qos = BodyReader(packet.body), packet.flags >> 1 & 3
    topic = _topic(reader)
    if qos > 1:
        raise PacketError("QoS 2 is not served", Reason.QOS_NOT_SUPPORTED)
    if packet.flags & 0x08 and not qos:
        raise PacketError("a duplicate of QoS 0")
    packet_id = _packet_id(reader) if qos else 0
    given = reader.properties(properties.IN_PUBLISH) if level == V5 else NONE
    if Property.TOPIC_ALIAS in given:
        raise PacketError("topic aliases are not served", Reason.INVALID_TOPIC_ALIAS)
    message = AppMessage(topic, reader.rest(), qos, bool(packet.flags & 1), given)
    return Publish(message, packet_id)


def parse_puback(packet: Packet) -> int:
    """Return the packet id of a PUBACK; whatever its reason, the message is done with. Raises
    PacketError."""
    return _packet_id(BodyReader(packet.body))


def parse_subscribe(packet: Packet, level: int) -> Subscribe:
    """Return the SUBSCRIBE. Raises PacketError."""
    reader = BodyReader(packet.body)
    packet_id = _packet_id(reader)
    if level == V5:
        given = reader.properties(properties.IN_SUBSCRIBE)
        if Property.SUBSCRIPTION_IDENTIFIER in given:
            raise PacketError(
                "subscription identifiers are not served", Reason.NO_SUBSCRIPTION_IDENTIFIERS
            )
    found: list[Subscription] = []
    while not reader.done:
        name, options = reader.text(), reader.number(1)
        qos, handling = options & 3, options >> 4 & 3
        if qos > 2 or handling > 2 or options & (0xC0 if level == V5 else 0xFC):
            raise PacketError("malformed subscription options")
        found.append(Subscription(name, qos, bool(options & 0x04), bool(options & 0x08), handling))
    _check_count(found)
    return Subscribe(packet_id, tuple(found))


def parse_unsubscribe(packet: Packet, level: int) -> Unsubscribe:
    """Return the UNSUBSCRIBE. Raises PacketError."""
    reader = BodyReader(packet.body)
    packet_id = _packet_id(reader)
    if level == V5:
        reader.properties(properties.IN_UNSUBSCRIBE)
    found = []
    while not reader.done:
        found.append(reader.text())
    _check_count(found)
    return Unsubscribe(packet_id, tuple(found))


def parse_disconnect(packet: Packet, level: int) -> bool:
    """Return whether the will is to be published (MQTT 5 alone has that). Raises PacketError."""
    reader = BodyReader(packet.body)
    if level == V311 or reader.done:
        if not reader.done:
            raise PacketError("bytes in DISCONNECT")
        return False
    reason = reader.number(1)
    if not reader.done:
        reader.properties(properties.IN_DISCONNECT)
    return reason != Reason.SUCCESS


def is_filter(text: str) -> bool:
    """Whether a topic filter is valid: wildcards stand for whole levels, `#` for the last."""
    levels = text.split("/")
    if not text or len(levels) > MAX_FILTER_LEVELS:
        return False
    for place, level in enumerate(levels):
        if "#" in level and (level != "#" or place != len(levels) - 1):
            return False
        if "+" in level and level != "+":
            return False
    return True


def _check_count(found: list[Subscription] | list[str]) -> None:
    if not 1 <= len(found) <= MAX_FILTERS:
        raise PacketError(f"{len(found)} topic filters", Reason.PROTOCOL_ERROR)


def _topic(reader: BodyReader) -> str:
    topic = reader.text()
    if not topic or "+" in topic or "#" in topic:
        raise PacketError("a topic is empty or has a wildcard", Reason.INVALID_TOPIC_NAME)
    return topic


def _packet_id(reader: BodyReader) -> int:
    if not (packet_id := reader.number(2)):
        raise PacketError("packet id 0", Reason.PROTOCOL_ERROR)
    return packet_id


def connack(level: int, reason: Reason, given: Properties = NONE) -> bytes:
    """Return a CONNACK without a session. To a level that is not known, that of 3.1.1."""
    if level != V5:
        return Packet(PacketType.CONNACK, 0, bytes((0, _CONNACK_311.get(reason, 5)))).encode()
    return Packet(PacketType.CONNACK, 0, bytes((0, reason)) + properties.encode(given)).encode()


def publish(message: AppMessage, level: int, packet_id: int) -> bytes:
    """Return a PUBLISH of QoS 1 when there is a packet id, else of QoS 0."""
    body = field(message.topic)
    if packet_id:
        body += struct.pack("!H", packet_id)
    if level == V5:
        body += properties.encode(message.properties) if message.properties else b"\0"
    size = properties.variable(len(body) + len(message.payload))
    head = bytes(
        (PacketType.PUBLISH << 4 | (2 if packet_id else 0) | (1 if message.retain else 0),)
    )
    return b"".join((head, size, body, message.payload))


def puback(level: int, packet_id: int, reason: Reason = Reason.SUCCESS) -> bytes:
    """Return a PUBACK; in 3.1.1 it cannot refuse."""
    if level != V5 or reason is Reason.SUCCESS:
        return b"\x40\x02" + struct.pack("!H", packet_id)
    return b"\x40\x03" + struct.pack("!HB", packet_id, reason)


def suback(level: int, packet_id: int, reasons: Iterable[Reason]) -> bytes:
    """Return a SUBACK; 3.1.1 has one code for every refusal."""
    codes = (min(reason, 0x80) if level != V5 else reason for reason in reasons)
    return _acknowledge_filters(PacketType.SUBACK, level, packet_id, bytes(codes))


def unsuback(level: int, packet_id: int, reasons: Iterable[Reason]) -> bytes:
    """Return an UNSUBACK; in 3.1.1 it has no codes."""
    return _acknowledge_filters(
        PacketType.UNSUBACK, level, packet_id, bytes(reasons) if level == V5 else b""
    )


def _acknowledge_filters(kind: PacketType, level: int, packet_id: int, codes: bytes) -> bytes:
    none = b"\0" if level == V5 else b""
    return Packet(kind, 0, struct.pack("!H", packet_id) + none + codes).encode()


def pingresp() -> bytes:
    """Return a PINGRESP."""
    return b"\xd0\x00"


def disconnect(level: int, reason: Reason) -> bytes:
    """Return the DISCONNECT of a broker; 3.1.1 has none."""
    return bytes((PacketType.DISCONNECT << 4, 1, reason)) if level == V5 else b""
