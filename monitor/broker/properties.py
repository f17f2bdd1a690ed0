# SPDX-License-Identifier: Apache-2.0
"""Properties of MQTT 5 packets (OASIS MQTT 5.0, section 2.2.2), and the fields that packets are
made of. Bytes to values and back.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Reason(IntEnum):
    """Reason codes of MQTT 5 that the broker sends (section 2.4)."""

    SUCCESS = 0x00
    GRANTED_QOS_1 = 0x01
    NO_SUBSCRIPTION_EXISTED = 0x11
    UNSPECIFIED = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    UNSUPPORTED_VERSION = 0x84
    BAD_CREDENTIALS = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    INVALID_TOPIC_FILTER = 0x8F
    INVALID_TOPIC_NAME = 0x90
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    INVALID_TOPIC_ALIAS = 0x94
    PACKET_TOO_LARGE = 0x95
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    NO_SUBSCRIPTION_IDENTIFIERS = 0xA1


class PacketError(Exception):
    """Not MQTT, or over a limit: the connection ends. The text is one line; `reason` is what
    MQTT 5 calls it."""

    def __init__(self, text: str, reason: Reason = Reason.MALFORMED_PACKET) -> None:
        super().__init__(text)
        self.reason = reason


class Property(IntEnum):
    """Properties by their identifier."""

    PAYLOAD_FORMAT = 0x01
    MESSAGE_EXPIRY = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    SUBSCRIPTION_IDENTIFIERS_AVAILABLE = 0x29
    SHARED_SUBSCRIPTIONS_AVAILABLE = 0x2A


P = Property
_NUMBERS = {
    P.PAYLOAD_FORMAT: 1,
    P.MESSAGE_EXPIRY: 4,
    P.SESSION_EXPIRY: 4,
    P.SERVER_KEEP_ALIVE: 2,
    P.REQUEST_PROBLEM_INFORMATION: 1,
    P.WILL_DELAY: 4,
    P.REQUEST_RESPONSE_INFORMATION: 1,
    P.RECEIVE_MAXIMUM: 2,
    P.TOPIC_ALIAS_MAXIMUM: 2,
    P.TOPIC_ALIAS: 2,
    P.MAXIMUM_QOS: 1,
    P.RETAIN_AVAILABLE: 1,
    P.MAXIMUM_PACKET_SIZE: 4,
    P.SUBSCRIPTION_IDENTIFIERS_AVAILABLE: 1,
    P.SHARED_SUBSCRIPTIONS_AVAILABLE: 1,
}
"""Bytes of those that are an integer."""
_BINARY = frozenset((P.CORRELATION_DATA, P.AUTHENTICATION_DATA))
_FLAGS = frozenset(
    (P.PAYLOAD_FORMAT, P.REQUEST_PROBLEM_INFORMATION, P.REQUEST_RESPONSE_INFORMATION)
)
"""0 or 1; anything else is a protocol error."""
_NOT_ZERO = frozenset(
    (P.RECEIVE_MAXIMUM, P.MAXIMUM_PACKET_SIZE, P.TOPIC_ALIAS, P.SUBSCRIPTION_IDENTIFIER)
)
IN_CONNECT = frozenset(
    (
        P.SESSION_EXPIRY,
        P.RECEIVE_MAXIMUM,
        P.MAXIMUM_PACKET_SIZE,
        P.TOPIC_ALIAS_MAXIMUM,
        P.REQUEST_RESPONSE_INFORMATION,
        P.REQUEST_PROBLEM_INFORMATION,
        P.USER_PROPERTY,
        P.AUTHENTICATION_METHOD,
        P.AUTHENTICATION_DATA,
    )
)
FORWARDED = frozenset(
    (
        P.PAYLOAD_FORMAT,
        P.MESSAGE_EXPIRY,
        P.CONTENT_TYPE,
        P.RESPONSE_TOPIC,
        P.CORRELATION_DATA,
        P.USER_PROPERTY,
    )
)
"""Of a PUBLISH or a will, what its subscribers get."""
IN_WILL = FORWARDED | {P.WILL_DELAY}
IN_PUBLISH = FORWARDED | {P.TOPIC_ALIAS}
IN_SUBSCRIBE = frozenset((P.SUBSCRIPTION_IDENTIFIER, P.USER_PROPERTY))
IN_UNSUBSCRIBE = frozenset((P.USER_PROPERTY,))
IN_DISCONNECT = frozenset((P.SESSION_EXPIRY, P.REASON_STRING, P.USER_PROPERTY))

Properties = Mapping[Property, Any]
"""Value by identifier: int, str or bytes; a list of (name, value) for USER_PROPERTY."""
NONE: Properties = {}


class BodyReader:
    """Reads fields of a packet's body from left to right. Each method raises PacketError."""

    def __init__(self, body: bytes) -> None:
        self.body, self.at = body, 0

    def read(self, size: int) -> bytes:
        """Read that many bytes."""
        end = self.at + size
        if end > len(self.body):
            raise PacketError("packet is truncated")
        self.at, start = end, self.at
        return self.body[start:end]

    def number(self, size: int) -> int:
        """Read an integer of that many bytes."""
        return int.from_bytes(self.read(size), "big")

    def variable(self) -> int:
        """Read a variable byte integer, in its shortest form of at most four bytes."""
        value = 0
        for shift in (0, 7, 14, 21):
            digit = self.number(1)
            value |= (digit & 0x7F) << shift
            if not digit & 0x80:
                if not digit and shift:
                    break
                return value
        raise PacketError("malformed variable byte integer")

    def field(self) -> bytes:
        """Read binary data behind its length."""
        return self.read(self.number(2))

    def text(self) -> str:
        """Read a UTF-8 string behind its length."""
        try:
            text = self.field().decode()
        except UnicodeDecodeError:
            raise PacketError("a string is not UTF-8") from None
        if "\0" in text:
            raise PacketError("a string contains NUL")
        return text

    def properties(self, allowed: frozenset[Property]) -> Properties:
        """Read the properties that a kind of packet may have."""
        if not (size := self.variable()):
            return NONE
        inner = BodyReader(self.read(size))
        found: dict[Property, Any] = {}
        while not inner.done:
            number = inner.variable()
            if number not in allowed:
                raise PacketError(f"a property {number:#04x} is not allowed here")
            name = Property(number)
            if name is P.USER_PROPERTY:
                found.setdefault(name, []).append((inner.text(), inner.text()))
                continue
            if name in found:
                raise PacketError(f"{name.name} twice", Reason.PROTOCOL_ERROR)
            found[name] = value = _read_value(inner, name)
            if (name in _FLAGS and value not in (0, 1)) or (name in _NOT_ZERO and not value):
                raise PacketError(f"{name.name} of {value!r}", Reason.PROTOCOL_ERROR)
        return found

    def rest(self) -> bytes:
        """Read what is left."""
        return self.read(len(self.body) - self.at)

    @property
    def done(self) -> bool:
        """Nothing is left."""
        return self.at == len(self.body)


def _read_value(reader: BodyReader, name: Property) -> int | str | bytes:
    if (size := _NUMBERS.get(name)) is not None:
        return reader.number(size)
    if name is P.SUBSCRIPTION_IDENTIFIER:
        return reader.variable()
    return reader.field() if name in _BINARY else reader.text()


def variable(value: int) -> bytes:
    """Return a variable byte integer."""
    made = bytearray()
    while True:
        value, digit = divmod(value, 128)
        made.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(made)


def field(value: bytes | str) -> bytes:
    """Return binary data or a string behind its length."""
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def encode(properties: Properties) -> bytes:
    """Return properties behind their length."""
    made = bytearray()
    for name, value in properties.items():
        if name is P.USER_PROPERTY:
            for key, text in value:
                made += bytes((name,)) + field(key) + field(text)
        elif (size := _NUMBERS.get(name)) is not None:
            made += bytes((name,)) + value.to_bytes(size, "big")
        elif name is P.SUBSCRIPTION_IDENTIFIER:
            made += bytes((name,)) + variable(value)
        else:
            made += bytes((name,)) + field(value)
    return variable(len(made)) + bytes(made)
