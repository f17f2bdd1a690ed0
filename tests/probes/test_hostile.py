"""A round against servers that mean harm: whatever they send, it ends in time, in little memory,
without a bug of ours, and what is written down of them fits the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
import ssl
import struct
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from probes.endpoint.timeouts import Timeouts
from probes.rounds.round import measure_round
from probes.rounds.round_plan import RoundPlan
from probes.steps.http import MAX_RECEIVED
from probes.wire.bounds import MAX_PACKET_BYTES
from probes.wire.codec import decode, encode
from probes.wire.measurement import Measurement
from probes.wire.observation import HTTPExchange
from probes.wire.target import Endpoint, SNIContrast, Target
from tests.world import tls_server
from tests.world.dns_server import Address, Behaviour
from tests.world.loopback import internet
from tests.world.pki import Authority

pytestmark = pytest.mark.slow

CA = Authority()
NAME = "wechat.test"
LEAF = CA.issue(NAME)
TIMEOUTS = Timeouts(
    dns=0.5, window=0.1, subject=1.0, contrast=0.8, transfer=1.0, silence=0.8, endpoint=8.0
)
CLEAR = ("http", "mtproto", "whatsapp", "mmtls", "mmtls-http", "xmpp", "tls", "https")
ENCRYPTED = ("https", "matrix")
MOST_SECONDS = 120.0
"""Against a hang alone: what is sent without end goes on for longer."""
MOST_GROWTH = 64_000_000
"""Bytes of resident memory at the worst moment, this process's servers and, in the first round,
imports and roots included: half of what one answer that is read without measure would take."""

Pieces = Iterator[bytes]
_PAGE = b"<html><title>t</title>" + b"a" * 16000


def drip(head: bytes) -> Pieces:
    """A byte every 50 ms."""
    for byte in head + b"a" * 10**6:
        time.sleep(0.05)
        yield bytes((byte,))


def endless(head: bytes, piece: bytes) -> Pieces:
    """No end."""
    yield head
    while True:
        yield piece


OK = b"HTTP/1.1 200 OK\r\n"
HEADER = b"X-%s: %s\r\n" % (b"a" * 20, b"b" * 8000)
BOMB = zlib.compress(bytes(50_000_000), 9, 31)
ENTITIES = b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
XML = b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY l0 'lol'>%s]><stream:stream>&l9;" % ENTITIES
JSON = b'{"versions":' + b"[" * 60_000

HOSTILE: dict[str, Callable[[], Pieces]] = {
    "drips a status line": lambda: drip(OK),
    "drips what fits nothing": lambda: drip(b"\x16\xf1\x04\x3f\xff"),
    "drips a segment of WhatsApp": lambda: drip(b"\x00\x3f\xf0\x1a"),
    "drips XML": lambda: drip(b"<?xml version='1.0'?><stream:stream>"),
    "drips a TLS record": lambda: drip(b"\x16\x03\x03\x40\x00\x02"),
    "endless zeros": lambda: endless(b"", bytes(16384)),
    "endless record headers": lambda: endless(b"", b"\x16\x03\x03\x00\x01\x02" * 2000),
    "endless headers": lambda: endless(OK, HEADER),
    "one endless header": lambda: endless(OK + b"X: ", b"x" * 16384),
    "endless body": lambda: endless(OK + b"Content-Length: 99999999999\r\n\r\n", _PAGE),
    "endless chunks": lambda: endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n" * 2000
    ),
    "an endless size of a chunk": lambda: endless(
        OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 16384
    ),
    "endless titles": lambda: endless(OK + b"\r\n", b"<title>" * 2000),
    "endless 1xx": lambda: endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 400),
    "a bomb": lambda: iter(
        [OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(BOMB) + BOMB]
    ),
    "an XML bomb": lambda: iter([XML]),
    "deep XML": lambda: endless(b"<stream:stream>", b"<a>" * 4000),
    "deep JSON": lambda: iter([OK + b"Content-Length: %d\r\n\r\n" % len(JSON) + JSON]),
    "long numbers in JSON": lambda: iter(
        [OK + b'Content-Length: 15012\r\n\r\n{"versions":' + b"9" * 15000]
    ),
    "a redirect to this network": lambda: iter(
        [b"HTTP/1.1 302 Found\r\nLocation: http://192.168.1.1:1/\r\nContent-Length: 0\r\n\r\n"]
    ),
    "a redirect of markup and control characters": lambda: iter(
        [
            b"HTTP/1.1 302 Found\r\nLocation: http://[::1\x1b[2J<script>%00\xff\xfe\r\n"
            b"Server: " + b"\xf0\x9f\x92\xa9" * 3000 + b"\r\nContent-Length: 0\r\n\r\n"
        ]
    ),
    "numbers too long": lambda: iter(
        [b"HTTP/1.1 200 OK\r\nDate: Thu, 99 Foo %s 99:99:99 GMT\r\n" % (b"9" * 60000)]
    ),
}


def _talk(pieces: Callable[[], Pieces], stopping: Callable[[], bool]) -> tls_server.Behaviour:
    def behave(connection: socket.socket, first: bytes) -> None:
        for piece in pieces():
            if stopping():
                return
            connection.sendall(piece)

    return behave


def _talk_tls(
    context: ssl.SSLContext, pieces: Callable[[], Pieces], stopping: Callable[[], bool]
) -> tls_server.Behaviour:
    """Shake hands, read a request, then do harm."""

    def behave(connection: socket.socket, first: bytes) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        incoming.write(first)
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        def step(work: Callable[[], object]) -> None:
            while True:
                try:
                    work()
                    break
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    got = connection.recv(65536)
                    if not got:
                        raise EOFError from None
                    incoming.write(got)

        step(tls.do_handshake)
        connection.sendall(outgoing.read())
        step(lambda: tls.read(65536))
        for piece in pieces():
            if stopping():
                return
            tls.write(piece)
            connection.sendall(outgoing.read())

    return behave


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def target(port: int, protocol: str) -> Target:
    return Target(id=f"a/{protocol}-{port}", endpoints=(endpoint(port, protocol),))


def heard(measurement: Measurement) -> bool:
    """The harm came through: something was received of it."""
    return any(getattr(o, "received_bytes", 0) > 0 for o in measurement.observations)


async def _peak() -> int:
    """Resident memory at its worst until cancelled."""
    worst = 0
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            worst = max(worst, _resident())
            await asyncio.sleep(0.02)
    return worst


def endpoint(port: int, protocol: str) -> Endpoint:
    alpn = ("h2", "http/1.1") if protocol == "https" else ()
    return Endpoint(host=NAME, port=port, protocol=protocol, trust=CA.pem, alpn=alpn)


async def survived(
    targets: list[Target],
    caplog: pytest.LogCaptureFixture,
    system: Mapping[str, Behaviour] = {NAME: Address("127.0.0.1")},
) -> list[Measurement]:
    """Measure them; assert what must hold whoever is at the other end."""
    emitted: list[Measurement] = []
    sni = SNIContrast(innocuous="innocuous.test")
    async with internet(system, sni=sni) as lab:
        before, begun = _resident(), time.monotonic()
        peak = asyncio.create_task(_peak())
        await measure_round(
            lab.setup(timeouts=TIMEOUTS),
            RoundPlan(targets=targets, round_ms=1_795_521_600_000, interval_ms=0),
            emit=emitted.append,
            rng=random.Random(1),
        )
        took = time.monotonic() - begun
        peak.cancel()
        grown = await peak - before
    bugs = [r for r in caplog.records if r.levelno >= logging.ERROR and "probes" in r.name]
    assert not bugs, bugs[0].getMessage() + str(bugs[0].exc_info)
    assert {m.target for m in emitted} == {t.id for t in targets}
    assert took < MOST_SECONDS
    assert grown < MOST_GROWTH, f"{grown / 1e6:.1f} MB"
    for measurement in emitted:
        line = encode(measurement)
        assert len(line) < MAX_PACKET_BYTES
        assert decode(line) == measurement
        assert "192.168.1.1" not in {getattr(o, "address", "") for o in measurement.observations}
    return emitted


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame of h2 (RFC 9113 section 4.1)."""
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


_SETTINGS = frame(4, 0, 0, b"")
# HPACK: one entry of the dynamic table, 4,000 bytes, named again and again.
_ENTRY = b"\x40\x01x\x7f\xa1\x1e" + b"y" * 4000
HOSTILE_H2: dict[str, Callable[[], Pieces]] = {
    "endless CONTINUATION": lambda: endless(
        _SETTINGS + frame(1, 0, 1, b"\x88"), frame(9, 0, 1, b"\x00\x01a\x01b" * 3000)
    ),
    "a bomb of HPACK": lambda: iter(
        [_SETTINGS + frame(1, 4, 1, b"\x88" + _ENTRY + b"\xbe" * 9000)]
    ),
    "endless SETTINGS": lambda: endless(_SETTINGS, frame(4, 0, 0, struct.pack("!HI", 4, 9)) * 500),
    "endless PING": lambda: endless(_SETTINGS, frame(6, 0, 0, bytes(8)) * 500),
    "endless 1xx": lambda: endless(_SETTINGS, frame(1, 4, 1, b"\x08\x03103") * 500),
    "endless unknown frames": lambda: endless(_SETTINGS, frame(0xFA, 0, 0, bytes(900)) * 9),
    "endless pushes": lambda: endless(_SETTINGS, frame(5, 4, 1, b"\x00\x00\x00\x02\x82\x87") * 99),
    "endless empty DATA": lambda: endless(
        _SETTINGS + frame(1, 4, 1, b"\x88"), frame(0, 0, 1, b"") * 500
    ),
    "a status of letters": lambda: iter([_SETTINGS + frame(1, 5, 1, b"\x08\x03a\xffb")]),
}


@contextlib.asynccontextmanager
async def harmful(harm: Callable[[], Pieces], *alpn: str) -> AsyncIterator[tuple[int, ...]]:
    """A port for each ALPN, and one for clear text when there is none."""
    stop: list[bool] = []
    async with contextlib.AsyncExitStack() as stack:
        ports = []
        for word in alpn or ("",):
            if word:
                talk = _talk_tls(LEAF.context((word,)), harm, lambda: bool(stop))
            else:
                talk = _talk(harm, lambda: bool(stop))
            waits = bool(word)  # nobody waits for words of ours in clear text
            server = tls_server.serve(talk, wait_for_bytes=waits)
            ports.append((await stack.enter_async_context(server)).port)
        yield tuple(ports)
        stop.append(True)


@pytest.mark.parametrize("harm", HOSTILE)
async def test_over_clear_text(harm: str, caplog: pytest.LogCaptureFixture) -> None:
    async with harmful(HOSTILE[harm]) as (port,):
        seen = await survived([target(port, p) for p in CLEAR], caplog)
    assert not [m.target for m in seen if not heard(m)]


@pytest.mark.parametrize("harm", HOSTILE)
async def test_within_tls(harm: str, caplog: pytest.LogCaptureFixture) -> None:
    async with harmful(HOSTILE[harm], "http/1.1", "h2") as (one, two):
        wanted = [target(one, "https"), target(two, "https"), target(one, "matrix")]
        seen = await survived(wanted, caplog)
    assert not [m.target for m in seen if not heard(m)]


@pytest.mark.parametrize("harm", HOSTILE_H2)
async def test_h2(harm: str, caplog: pytest.LogCaptureFixture) -> None:
    async with harmful(HOSTILE_H2[harm], "h2") as (port,):
        (seen,) = await survived([target(port, "https")], caplog)
    exchanges = [o for o in seen.observations if isinstance(o, HTTPExchange)]
    assert exchanges[0].protocol == "h2"
    assert all(o.received_bytes < 2 * MAX_RECEIVED for o in exchanges)
