# SPDX-License-Identifier: Apache-2.0
"""WebSocket frames as the carrier of a stream of bytes, the server's side (RFC 6455). Pure.

    payload = reader.receive(data)          what the client's binary frames hold
    socket.write(reader.take_replies())     answers to pings
    socket.write(frame(payload))            the other way

MQTT has packets of its own and says that frames mean nothing (MQTT 5, section 6). So the bytes of a
frame are passed on as they arrive: an unfinished frame costs no memory. A client pays for frames,
because tiny ones cost the server most: see `credit`.
"""

from __future__ import annotations

from base64 import b64encode
from enum import IntEnum
from hashlib import sha1

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_FINAL, _MASKED = 0x80, 0x80
_SMALL_BYTES = 125
"""Longest payload of a control frame, and of any whose length is in one byte."""
_KEY_BYTES = 24
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class CloseCode(IntEnum):
    """Why a connection ends (RFC 6455, section 7.4.1)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED = 1003
    TOO_MANY = 1008
    TOO_LONG = 1009
    TRY_AGAIN = 1013


class FrameError(Exception):
    """The client sent what is not served here."""

    def __init__(self, code: CloseCode, text: str) -> None:
        super().__init__(text)
        self.code = code


def accept_value(key: str) -> str | None:
    """Return the Sec-WebSocket-Accept that belongs to a client's key; None for what is no key."""
    if len(key) != _KEY_BYTES or not key.isascii():
        return None
    return b64encode(sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


class FrameReader:
    """What a client sends, frame after frame."""

    def __init__(self, most_bytes: int) -> None:
        """No frame may be longer than this."""
        self._most = most_bytes
        self._head = b""
        self._opcode, self._left, self._key = _BINARY, 0, bytes(4)
        self._control = b""
        self._within = False
        """A message has begun and has more frames."""
        self._replies: list[bytes] = []
        self.credit = 0
        """Frames that may come yet."""
        self.closed = False
        """The client said that it leaves; nothing is read after that."""

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client and return what its frames hold. Raises FrameError: then
        nothing more may be read."""
        payload: list[bytes] = []
        rest = memoryview(data)
        while not self.closed:
            if self._left:
                if not rest:
                    break
                chunk = self._unmasked(rest[: self._left])
                rest = rest[len(chunk) :]
                if self._opcode & 0x8:
                    self._control += chunk
                else:
                    payload.append(chunk)
            else:
                head = self._next_head(rest)
                if head is None:
                    self._head += rest
                    break
                rest = rest[head:]
            if self._left == 0 and self._opcode & 0x8:
                self._answer()
        return b"".join(payload)

    def _next_head(self, rest: memoryview) -> int | None:
        """Read the head of a frame; how many of these bytes belong to it, None for too few."""
        known = len(self._head)
        head = self._head + bytes(rest[: 14 - known])
        if len(head) < 2:
            return None
        self._check(head[0], head[1])
        short = head[1] & 0x7F
        size = {126: 2, 127: 8}.get(short, 0)
        if len(head) < 2 + size + 4:
            return None
        length = int.from_bytes(head[2 : 2 + size]) if size else short
        if length > self._most:
            raise FrameError(CloseCode.TOO_LONG, f"a frame of {length} bytes")
        self.credit -= 1
        if self.credit < 0:
            raise FrameError(CloseCode.TOO_MANY, "too many frames")
        self._head, self._left, self._key = b"", length, head[2 + size : 6 + size]
        self._opcode = head[0] & 0x0F
        if not self._opcode & 0x8:
            self._within = not head[0] & _FINAL
        return 6 + size - known

    def _check(self, first: int, second: int) -> None:
        """Raises FrameError for a frame that no client of MQTT sends."""
        opcode = first & 0x0F
        if opcode == _TEXT:
            raise FrameError(CloseCode.UNSUPPORTED, "text")
        control = opcode in (_CLOSE, _PING, _PONG)
        if not control and opcode != (_CONTINUATION if self._within else _BINARY):
            raise FrameError(CloseCode.PROTOCOL_ERROR, "a frame that does not follow the last")
        if first & 0x70 or not second & _MASKED:
            raise FrameError(CloseCode.PROTOCOL_ERROR, "a reserved bit, or no mask")
        if control and (not first & _FINAL or second & 0x7F > _SMALL_BYTES):
            raise FrameError(CloseCode.PROTOCOL_ERROR, "a control frame that is long or in parts")

    def _unmasked(self, chunk: memoryview) -> bytes:
        size = len(chunk)
        key = (self._key * (size // 4 + 1))[:size]
        plain = int.from_bytes(chunk, "little") ^ int.from_bytes(key, "little")
        self._left -= size
        self._key = self._key[size % 4 :] + self._key[: size % 4]
        return plain.to_bytes(size, "little")

    def _answer(self) -> None:
        control, self._control = self._control, b""
        if self._opcode == _PING:
            self._replies.append(_framed(_PONG, control))
        elif self._opcode == _CLOSE:
            self.closed = True
        self._opcode = _BINARY

    def take_replies(self) -> bytes:
        """What is to be written, once."""
        replies, self._replies = b"".join(self._replies), []
        return replies


def frame(payload: bytes) -> bytes:
    """Return a binary frame that holds this."""
    return _framed(_BINARY, payload)


def close_frame(code: CloseCode) -> bytes:
    """Return the last frame of a connection."""
    return _framed(_CLOSE, code.to_bytes(2, "big"))


def _framed(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size <= _SMALL_BYTES:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return bytes([_FINAL | opcode]) + length + payload
