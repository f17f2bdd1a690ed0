"""Fetching bytes to see their speed: small pages, early ends, stalls, hostile servers."""

from __future__ import annotations

import dataclasses
import itertools
import socket
import time
from collections.abc import Iterable, Iterator

import pytest

from probes.net import tls
from probes.net.guard import Guard
from probes.net.socket_network import SocketNetwork
from probes.steps.context import StepContext
from probes.steps.transfer import (
    FASTEST,
    MOST_POINTS,
    MOST_REQUESTS,
    WANTED_BYTES,
    GoodputMeter,
    TransferLimits,
    transfer,
)
from probes.wire.codec import decode, encode
from probes.wire.measurement import Measurement
from probes.wire.observation import Contrast, Purpose, Transfer
from tests.world import tls_server
from tests.world.pki import Authority
from tests.world.tls_server import Behaviour, http_answer

LAB = SocketNetwork(guard=Guard(allow_private=True))
CA = Authority()
NAME = "wechat.test"
LEAF = CA.issue(NAME)
PAGE = http_answer("200 OK", b"x" * 80_000)
PATIENT = TransferLimits(limit=60.0, silence=60.0)
"""What comes may come late on a busy machine."""
SILENT = dataclasses.replace(PATIENT, silence=0.25)
"""Where silence is what ends it."""


def survives_the_wire(seen: Transfer) -> None:
    measurement = Measurement(
        v=1,
        id="0" * 32,
        probe="p-" + "0" * 16,
        target="a/b",
        round=0,
        started=0,
        observations=(seen,),
    )
    assert decode(encode(measurement)) == measurement


async def fetch(
    behaviour: Behaviour, *, alpn: tuple[str, ...] | None = None, limits: TransferLimits = PATIENT
) -> tuple[Transfer, tls_server.Server]:
    """One transfer; TLS when `alpn` is given."""
    async with tls_server.serve(behaviour) as server:
        begun = LAB.clock_us()
        stream = await LAB.connect(server.address, server.port)
        client = None
        if alpn is not None:
            client = tls.TLSClient(tls.context_for("default", CA.pem, alpn=alpn), NAME)
            await tls.handshake(stream, client)
        step = StepContext(
            LAB,
            "wechat.test:443/https",
            server.address,
            server.port,
            begun,
            purpose=Purpose.CONTRAST,
            contrast=Contrast.INNOCUOUS_NAME,
        )
        seen = await transfer(
            step,
            stream,
            client,
            sni=NAME,
            host=NAME,
            path="/",
            turn=2,
            round_trip_us=300,
            limits=limits,
        )
        stream.close()
    survives_the_wire(seen)
    return seen, server


def answering(page: bytes) -> Behaviour:
    """A clear-text server that answers every request on a connection with these bytes."""

    def behave(connection: socket.socket, first: bytes) -> None:
        request = first
        while request:
            connection.sendall(page)
            request = connection.recv(65536)

    return behave


def pieces(*parts: bytes, seconds: float = 0.0, then: Behaviour | None = None) -> Behaviour:
    """Send parts with pauses between, then do something else (nothing: wait)."""

    def behave(connection: socket.socket, first: bytes) -> None:
        for part in parts:
            connection.sendall(part)
            time.sleep(seconds)
        (then or tls_server.silence)(connection, first)

    return behave


async def test_one_large_page_is_cut_when_there_is_enough():
    seen, _ = await fetch(answering(PAGE))
    assert (seen.failure, seen.evidence, seen.status) == (None, (), 200)
    assert WANTED_BYTES <= seen.received_bytes < 80_100
    assert (seen.tls, seen.turn, seen.wanted_bytes) == (False, 2, WANTED_BYTES)
    assert (seen.purpose, seen.contrast) == (Purpose.CONTRAST, Contrast.INNOCUOUS_NAME)
    assert seen.progress[-1].received_bytes == seen.received_bytes
    assert seen.rate > 0
    assert seen.pace > 0
    assert seen.sent_bytes > 100


@pytest.mark.parametrize("alpn", [("http/1.1",), ("h2",)])
async def test_over_tls_the_socket_counts(alpn: tuple[str, ...]):
    page = http_answer("200 OK", b"x" * 16_000) if "h2" in alpn else PAGE
    behaviour = tls_server.tls(LEAF.context(alpn), lambda r: page)
    seen, server = await fetch(behaviour, alpn=alpn)
    assert (seen.failure, seen.evidence, seen.status, seen.tls) == (None, (), 200, True)
    assert seen.received_bytes >= WANTED_BYTES
    assert seen.requests >= (4 if "h2" in alpn else 0)
    assert server.names == [NAME]


async def test_small_pages_are_asked_for_again_and_again():
    seen, _ = await fetch(answering(http_answer("403 Forbidden", b"no" * 300)))
    assert (seen.failure, seen.evidence) == (None, ("short",))
    assert (seen.requests, seen.status) == (MOST_REQUESTS, 403)
    assert 9_600 < seen.received_bytes < 12_000


async def test_no_more_requests_is_not_short_where_as_much_came_as_was_wanted():
    slow = dataclasses.replace(PATIENT, seconds=60.0, enough=10**10)
    page = http_answer("200 OK", b"x" * 16_000)
    seen, _ = await fetch(answering(page), limits=slow)
    assert (seen.failure, seen.evidence, seen.requests) == (None, (), MOST_REQUESTS)
    page = http_answer("200 OK", b"x" * WANTED_BYTES)
    seen, _ = await fetch(pieces(page, then=tls_server.fin), limits=slow)
    assert (seen.failure, seen.evidence, seen.requests) == (None, (), 1)


async def test_a_server_that_closes_after_one_answer():
    page = http_answer("200 OK", b"x" * 20_000, "Connection: close\r\n")
    seen, _ = await fetch(pieces(page, then=tls_server.fin))
    assert (seen.failure, seen.evidence, seen.requests) == (None, ("short",), 1)
    seen, _ = await fetch(pieces(http_answer("200 OK", b"x" * 20_000), then=tls_server.fin))
    assert (seen.failure, seen.evidence, seen.requests) == (None, ("short",), 1)


async def test_it_goes_on_until_it_is_fast_enough():
    limits = dataclasses.replace(PATIENT, most=200_000, seconds=9.0, enough=10**10)
    seen, _ = await fetch(answering(PAGE), limits=limits)
    assert 200_000 <= seen.received_bytes < 220_000


async def test_what_the_socket_held_is_no_proof_of_speed():
    limits = dataclasses.replace(PATIENT, sure=150_000, most=10**7)
    seen, _ = await fetch(answering(PAGE), limits=limits)
    assert 150_000 <= seen.received_bytes < 300_000


async def test_a_frozen_stream():
    seen, _ = await fetch(pieces(PAGE[:16_000]), limits=SILENT)
    assert (seen.failure, seen.evidence) == ("generic_timeout_error", ())
    assert seen.received_bytes == 16_000
    assert 240_000 <= seen.silence_us < 30_000_000
    assert seen.progress[-1].received_bytes == 16_000


async def test_a_stream_that_is_cut():
    seen, _ = await fetch(pieces(PAGE[:16_000], seconds=0.05, then=tls_server.reset))
    assert seen.failure == "connection_reset"
    assert seen.errno is not None
    seen, _ = await fetch(pieces(PAGE[:16_000], then=tls_server.fin))
    assert seen.failure == "eof_error"


async def test_nothing_at_all():
    seen, _ = await fetch(tls_server.silence, limits=SILENT)
    assert (seen.failure, seen.received_bytes, seen.rate) == ("generic_timeout_error", 0, 0)
    assert (seen.silence_us, seen.progress) == (0, ())


async def test_a_slow_stream_is_no_failure_when_the_time_is_over():
    limits = dataclasses.replace(PATIENT, limit=1.0)
    page = http_answer("200 OK", b"x" * 1_000_000)
    parts = (page[at : at + 2_000] for at in range(0, len(page), 2_000))
    seen, _ = await fetch(pieces(*parts, seconds=0.03), limits=limits)
    assert (seen.failure, seen.evidence) == (None, ("time_over",))
    assert 0 < seen.received_bytes < len(page)
    assert 0 < seen.rate < 250_000


def headers() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    yield from itertools.repeat(b"X-More: " + b"y" * 900 + b"\r\n", 300)


@pytest.mark.parametrize(
    "payload",
    [
        b"".join(headers()),
        b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000,
        b"\x00" * 300_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 60_000,
    ],
    ids=["endless headers", "endless 102", "noise", "tiny chunks"],
)
async def test_hostile_servers_are_bounded(payload: bytes):
    used = time.process_time()
    seen, _ = await fetch(pieces(payload), limits=SILENT)
    assert seen.received_bytes <= 9 * WANTED_BYTES
    assert time.process_time() - used < 2.5
    assert len(seen.progress) <= 32


async def test_a_drip_ends_with_the_time():
    limits = dataclasses.replace(PATIENT, limit=0.5)
    seen, _ = await fetch(tls_server.drip(b"HTTP/1.1 200 OK\r\n", 0.01), limits=limits)
    assert seen.evidence == ("time_over",)


async def test_an_h2_server_that_talks_nonsense():
    behaviour = tls_server.tls(LEAF.context(("h2",)))

    def answer(connection: socket.socket, first: bytes) -> None:
        behaviour(connection, first)

    seen, _ = await fetch(answer, alpn=("h2",), limits=SILENT)
    assert seen.failure == "generic_timeout_error"


async def test_what_an_h2_server_pushes_is_no_answer():
    page = http_answer("200 OK", b"x" * 16_000)
    behaviour = tls_server.tls(LEAF.context(("h2",)), lambda _: page, push=b"y" * 100)
    seen, _ = await fetch(behaviour, alpn=("h2",))
    assert (seen.failure, seen.status) == (None, 200)
    assert seen.received_bytes >= 16_000 * seen.requests


SEGMENT = 1448
RTT = 100_000


def flowing(
    arrivals: Iterable[tuple[int, int]], round_trip_us: int = RTT
) -> tuple[GoodputMeter, int]:
    """One request at 0, then (gap, bytes) one after the other. Returns the flow and its end."""
    flow, now = GoodputMeter(0, round_trip_us), 0
    flow.request_sent()
    for gap, size in arrivals:
        now += gap
        flow.received(now, size)
    flow.finish(now)
    return flow, now


def bursts(segments: int, first: int, gap: int = RTT) -> Iterable[tuple[int, int]]:
    """What a far server sends: a burst, a round trip, twice as much, and so on."""
    while segments > 0:
        now = min(segments, first)
        yield (gap, SEGMENT)
        yield from itertools.repeat((20, SEGMENT), now - 1)
        segments, first = segments - now, 2 * first


def test_nothing_came():
    flow, _ = flowing([])
    assert (flow.received_bytes, flow.rate(5), flow.pace, flow.progress) == (0, 0, 0, ())
    assert (flow.first_us, flow.silence_us) == (0, 0)


@pytest.mark.parametrize("round_trip_us", [200, RTT, 2 * RTT])
@pytest.mark.parametrize("kbit", [160, 500, 2000])
def test_a_narrow_place_shows_however_far_it_is(kbit: int, round_trip_us: int):
    gap = SEGMENT * 8000 // kbit
    arrivals = [(round_trip_us + gap, SEGMENT), *itertools.repeat((gap, SEGMENT), 45)]
    flow, end = flowing(arrivals, round_trip_us)
    rate = kbit * 125
    assert 0.85 * rate <= flow.pace <= 1.1 * rate
    assert 0.9 * rate <= flow.rate(end) <= 1.6 * rate


def test_distance_is_no_narrow_place():
    flow, end = flowing(bursts(46, 10))
    assert flow.rate(end) > 10_000_000
    assert flow.pace > 10_000_000


def test_losses_cost_time_and_leave_the_pace():
    stalls = [*bursts(10, 10), (300_000, SEGMENT), *bursts(35, 5), (250_000, SEGMENT)]
    flow, end = flowing(stalls)
    assert flow.rate(end) < 500_000
    assert flow.pace > 10_000_000


def test_a_policer_lets_bursts_through_and_shows_in_the_time():
    arrivals = [(2_000, SEGMENT)]
    for _ in range(9):
        arrivals += [(20, SEGMENT)] * 4 + [(350_000, SEGMENT)]
    flow, end = flowing(arrivals, 2_000)
    assert flow.rate(end) < 30_000


def test_small_answers_wait_a_round_trip_each():
    flow, now = GoodputMeter(0, RTT), 0
    for _ in range(16):
        flow.request_sent()
        now += RTT
        flow.received(now, 1000)
    assert flow.rate(now) >= 1_000_000
    assert flow.received_bytes == 16_000


def test_a_stall_counts_in_full():
    flow, end = flowing([*bursts(11, 10, 10_000)], 10_000)
    flow.finish(end + 4_000_000)
    assert flow.silence_us == 4_000_000
    assert flow.rate(end + 4_000_000) < 4_000


def test_progress_is_thinned_and_ends_exactly():
    flow, end = flowing([(1_000, 100)] * 5_000)
    points = flow.progress
    assert 8 <= len(points) <= MOST_POINTS
    assert points[-1] == type(points[-1])(end, 500_000)
    assert list(points) == sorted(points, key=lambda p: p.at_us)
    assert len({p.at_us for p in points}) == len(points)
    few, _ = flowing([(1_000, 100)] * 3)
    assert [p.received_bytes for p in few.progress] == [100, 200, 300]


def test_bytes_at_the_same_microsecond():
    flow, end = flowing([(0, 10), (0, 70_000)])
    assert flow.rate(end) == FASTEST
    assert flow.pace > 0
