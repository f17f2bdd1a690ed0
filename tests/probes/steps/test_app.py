"""The first exchange of an app over real sockets: answered, foreign, reset, closed, silent."""

from __future__ import annotations

import asyncio
import socket

import pytest

from probes.net.guard import Guard
from probes.net.network import LATE, SENT_AGAIN
from probes.net.socket_network import SocketNetwork
from probes.protocols import mtproto, stun, whatsapp
from probes.steps import app
from probes.steps.app import (
    MAX_PIECES,
    MAX_REPLY_BYTES,
    AppRequest,
    NoReply,
    Reply,
    is_http,
)
from probes.steps.context import StepContext
from probes.wire.failure import Failure
from probes.wire.observation import AppExchange
from tests.world import app_servers
from tests.world.app_servers import Talk, answer, close, reset, say, silence, talk
from tests.world.ports import free_port
from tests.world.waiting import HANG_SECONDS

LAB = SocketNetwork(guard=Guard(allow_private=True))


async def stream_to(port: int, request: AppRequest, timeout: float = HANG_SECONDS) -> AppExchange:
    stream = await LAB.connect("127.0.0.1", port)
    try:
        step = StepContext(
            LAB, "a.test:443/mtproto", "127.0.0.1", port, LAB.clock_us(), timeout=timeout
        )
        return await app.over_stream(step, stream, request, protocol="mtproto")
    finally:
        stream.close()


async def ask(
    port: int,
    network: SocketNetwork = LAB,
    pauses: tuple[float, ...] = (),
    timeout: float = HANG_SECONDS,
) -> AppExchange:
    step = StepContext(
        network, "a.test:3478/stun", "127.0.0.1", port, LAB.clock_us(), timeout=timeout
    )
    return await app.over_datagrams(step, stun.request(), protocol="stun", pauses=pauses)


async def test_a_server_that_speaks():
    async with talk(app_servers.mtproto) as server:
        begun = LAB.clock_us()
        seen = await stream_to(server.port, mtproto.request(LAB.wall_ms()))
        took_us = LAB.clock_us() - begun
    assert (seen.spoke, seen.reply, seen.evidence) == (True, "res_pq", ("known_key",))
    assert (seen.failure, seen.excerpt, seen.transport) == (None, b"", "tcp")
    assert (seen.sent_bytes, seen.received_bytes) == (105, 85)
    assert 0 < seen.took_us <= took_us


async def test_a_page_in_its_place_is_quoted():
    async with talk(app_servers.web) as server:
        seen = await stream_to(server.port, whatsapp.request())
    assert (seen.spoke, seen.reply, seen.failure) == (False, None, None)
    assert seen.excerpt == app_servers.WEB_PAGE[:256]


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [(reset, Failure.RESET), (close, Failure.EOF), (silence, Failure.TIMEOUT)],
)
async def test_death_after_the_first_bytes(behaviour: Talk, failure: str):
    timeout = 0.5 if behaviour is silence else HANG_SECONDS
    async with talk(behaviour) as server:
        seen = await stream_to(server.port, mtproto.request(0), timeout)
    assert (seen.failure, seen.spoke, seen.received_bytes) == (failure, False, 0)
    assert seen.sent_bytes == 105


async def test_half_an_answer_is_kept():
    async with talk(say(b"\x00\x01\x00half")) as server:
        seen = await stream_to(server.port, whatsapp.request(), timeout=2.0)
    assert (seen.received_bytes, seen.excerpt) == (7, b"\x00\x01\x00half")
    assert seen.failure == Failure.TIMEOUT


async def test_no_more_is_read_than_an_answer_may_have():
    async with talk(say(b"x" * 100_000)) as server:
        endless = AppRequest(b"hello", lambda _: NoReply.INCOMPLETE)
        seen = await stream_to(server.port, endless)
    assert (seen.failure, seen.spoke) == (None, False)
    assert MAX_REPLY_BYTES <= seen.received_bytes <= 2 * MAX_REPLY_BYTES
    assert len(seen.excerpt) == 256


async def test_single_bytes_are_not_read_for_ever():
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(1000):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.001)

    readings = []

    def parse(received: bytes) -> NoReply:
        readings.append(received)
        return NoReply.INCOMPLETE

    async with talk(drip) as server:
        seen = await stream_to(server.port, AppRequest(b"hello", parse))
    assert (seen.failure, seen.spoke) == (None, False)
    assert len(readings) <= MAX_PIECES


async def test_a_flood_of_datagrams_ends():
    async def flood(sock: socket.socket) -> None:
        _, client = await asyncio.get_running_loop().sock_recvfrom(sock, 2048)
        for _ in range(2 * MAX_PIECES):
            sock.sendto(b"x" * 20, client)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        async with asyncio.TaskGroup() as group:
            group.create_task(flood(sock))
            seen = await ask(sock.getsockname()[1], timeout=HANG_SECONDS)
    assert (seen.failure, seen.spoke, seen.received_bytes) == (None, False, 20 * MAX_PIECES)


async def test_a_datagram_that_is_answered():
    async with answer(app_servers.stun) as server:
        seen = await ask(server.port)
    assert (seen.spoke, seen.reply, seen.transport) == (True, "binding_success", "udp")
    assert (seen.sent_bytes, seen.received_bytes, seen.excerpt) == (20, 32, b"")


async def test_a_lost_request_is_sent_again():
    def deaf_twice(request: bytes) -> bytes:
        return app_servers.stun(request) if len(server.heard) > 2 else b""

    async with answer(deaf_twice) as server:
        seen = await ask(server.port, pauses=(0.05, 0.05, HANG_SECONDS))
    assert seen.spoke
    assert seen.sent_bytes == 60
    assert len(set(server.heard)) == 1
    assert seen.evidence == (SENT_AGAIN,)


async def test_where_every_request_is_answered_nothing_was_lost():
    async def late(sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        heard = [await loop.sock_recvfrom(sock, 2048) for _ in range(2)]
        for request, client in heard:
            sock.sendto(app_servers.stun(request), client)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        async with asyncio.TaskGroup() as group:
            group.create_task(late(sock))
            seen = await ask(sock.getsockname()[1], pauses=(0.05, HANG_SECONDS))
    assert (seen.spoke, seen.evidence) == (True, (SENT_AGAIN, LATE))


async def test_silence():
    async with answer(lambda _: b"") as server:
        seen = await ask(server.port, pauses=(0.05,), timeout=0.3)
        await asyncio.sleep(0)
    assert (seen.failure, seen.spoke, seen.sent_bytes) == (Failure.TIMEOUT, False, 40)


async def test_another_answer_is_passed_over_and_never_quoted():
    async with answer(lambda _: b"192.0.2.77 is what you are") as server:
        seen = await ask(server.port, timeout=2.0)
    assert (seen.failure, seen.spoke, seen.reply) == (None, False, None)
    assert seen.received_bytes == 26
    assert seen.excerpt == b""


async def test_a_closed_port_says_so_by_icmp():
    seen = await ask(free_port())
    assert (seen.failure, seen.icmp_type, seen.icmp_code) == (Failure.REFUSED, 3, 3)


async def test_a_forbidden_address_is_not_dialled():
    seen = await ask(3478, network=SocketNetwork())
    assert seen.evidence == ("not_dialled",)
    assert seen.sent_bytes == 0


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 403 Forbidden", b"<html>", b"<!DOCTYPE html>", b"<!doctype html>"]
)
def test_pages(head: bytes):
    assert is_http(head)


@pytest.mark.parametrize("head", [b"", b"HTTP", b"\x16\x03\x01", b"<?xml version='1.0'?>"])
def test_other_answers(head: bytes):
    assert not is_http(head)


def test_replies_may_be_quoted_by_default():
    assert AppRequest(b"hello", lambda _: Reply("x")).quotable
