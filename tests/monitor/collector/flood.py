"""Floods that one probe or a stranger can make, as a process of its own: `flood.py KIND PORT USER
SECRET SECONDS`. It sends as fast as it is read and prints how many messages or connections it made.
"""

from __future__ import annotations

import base64
import contextlib
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator

from probes.runtime.compression import zstd
from probes.wire import topics
from probes.wire.codec import BatchHeader, Status, encode_batch, encode_message
from probes.wire.measurement import Vantage
from tests.monitor.collector.bench import batch, measurement

HEADER = b'{"v":1,"boot":"flood","sequence":%d}'
MANY = 512


def packet(kind: int, body: bytes) -> bytes:
    length, size = bytearray(), len(body)
    while True:
        size, digit = divmod(size, 128)
        length.append(digit | (0x80 if size else 0))
        if not size:
            return bytes((kind << 4,)) + bytes(length) + body


def field(text: str) -> bytes:
    return struct.pack("!H", len(text)) + text.encode()


def publish(topic: str, payload: bytes) -> bytes:
    return packet(3, field(topic) + payload)


def connect(user: str, secret: str) -> bytes:
    return packet(1, b"\x00\x04MQTT\x04\xc2\x00\x3c" + field(user) + field(user) + field(secret))


def payloads(kind: str, user: str) -> Iterator[bytes]:
    """Endless, or a few that are sent again and again."""
    number = 0
    while True:
        number += 1
        match kind:
            case "newlines":
                yield zstd.compress(HEADER % number + b"\n" * (8_000_000))
            case "bomb":
                yield zstd.compress(HEADER % number + b"\n" + b"x" * (64 << 20))
            case "bad lines":
                yield encode_batch(BatchHeader(boot="f", sequence=number), [b"{}"] * MANY)
            case "long lines":
                yield encode_batch(BatchHeader(boot="f", sequence=number), [b" " * 16_000] * MANY)
            case "many values":
                line = b'{"observations":[' + b"0," * 8000 + b"0]}"
                yield encode_batch(BatchHeader(boot="f", sequence=number), [line] * MANY)
            case "small batches":
                yield batch(user, (number,), number=number, boot="flood")
            case "strange names":
                yield encode_batch(
                    BatchHeader(boot="f", sequence=number),
                    [
                        _named(user, number * MANY + index, f"x{index}/y{number}")
                        for index in range(MANY)
                    ],
                )
            case "rubbish":
                yield number.to_bytes(8, "big") * 32


def _named(user: str, sequence: int, target: str) -> bytes:
    from probes.wire.codec import encode

    vantage = Vantage(country="XQ", asn=sequence % 100_000)
    return encode(measurement(user, sequence, target=target, vantage=vantage))


def messages(kind: str, port: int, user: str, secret: str, seconds: float) -> int:
    """One probe sends, and reads nothing."""
    topic = topics.measurements(user)
    if kind == "statuses":
        status = encode_message(Status(state="heartbeat", version="1"))
        prepared = [publish(topics.status(user), status) * 100]
    elif kind == "pings":
        prepared = [packet(12, b"") * 1000]
    elif kind == "acknowledgements":
        prepared = [packet(4, b"\0\1") * 1000]
    else:
        # Made beforehand, so that the flood is limited by who takes it.
        made = payloads(kind, user)
        prepared = [publish(topic, next(made)) for _ in range(3 if kind == "bomb" else 50)]
    sent, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as to:
            to.sendall(connect(user, secret))
            while time.monotonic() < until:
                to.sendall(prepared[sent % len(prepared)])
                sent += 1
    return sent


CONNECTIONS = {
    "wrong secrets": "mqtt",
    "takeovers": "mqtt",
    "silent connections": "mqtt",
    "slow heads": "http",
    "slow posts": "http",
}
"""Floods of connections, and the server that they go to."""


def first_bytes(kind: str, user: str, secret: str) -> Callable[[int], bytes]:
    """What each of many connections begins with."""
    basic = base64.b64encode(f"{user}:{secret}".encode()).decode()
    post = f"Host: x\r\nAuthorization: Basic {basic}\r\nContent-Length: 200000\r\n\r\nx"
    return {
        "wrong secrets": lambda n: connect(f"p-{n:016x}", "guess"),
        "takeovers": lambda n: connect(user, secret),
        "silent connections": lambda n: b"",
        "slow heads": lambda n: b"GET / HTTP/1.1\r\nX: ",
        "slow posts": lambda n: f"POST /api/v1/batches HTTP/1.1\r\n{post}".encode(),
    }[kind]


def connections(kind: str, port: int, user: str, secret: str, seconds: float) -> int:
    """Connect many times a second; the last few hundred stay open."""
    first = first_bytes(kind, user, secret)
    held: list[socket.socket] = []
    made, until = 0, time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            held.append(socket.create_connection(("127.0.0.1", port), 1))
            held[-1].sendall(first(made))
            made += 1
        except OSError:
            time.sleep(0.01)
        if len(held) > 500:
            held.pop(0).close()
    for each in held:
        each.close()
    return made


def main(kind: str, port: str, user: str, secret: str, seconds: str) -> None:
    make = connections if kind in CONNECTIONS else messages
    if sys.stdin.readline():
        print(make(kind, int(port), user, secret, float(seconds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
