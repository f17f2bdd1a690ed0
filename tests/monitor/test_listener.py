"""The listener against real floods of connections."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from monitor import listener
from monitor.listener import Ended, Listener, connection_limit, one_address
from tests.world.waiting import eventually


class Echo(asyncio.Protocol):
    def __init__(self, ended: Ended) -> None:
        self._ended = ended
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, error: Exception | None) -> None:
        self._ended()


@contextlib.asynccontextmanager
async def listening(most: int = 100, per_address: int = 100) -> AsyncIterator[tuple[Listener, int]]:
    made_here: list[Echo] = []

    def echo(ended: Ended) -> Echo:
        made_here.append(Echo(ended))
        return made_here[-1]

    made = Listener("test", echo, max_connections=most, max_per_address=per_address)
    port = await made.start("127.0.0.1", 0)
    try:
        yield made, port
    finally:
        made.close()
        for each in made_here:
            if each.transport is not None:
                each.transport.abort()
        await eventually(lambda: not made.connections)


async def echoes(port: int, source: str = "127.0.0.1") -> bool:
    """Whether a connection is served."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        writer.write(b"x")
        return await reader.read(1) == b"x"
    except ConnectionError:
        return False
    finally:
        writer.close()


@pytest.fixture
def held() -> Iterator[list[socket.socket]]:
    sockets: list[socket.socket] = []
    yield sockets
    for each in sockets:
        each.close()


async def test_no_more_than_so_many_and_again_when_they_have_gone(
    held: list[socket.socket], caplog: pytest.LogCaptureFixture
) -> None:
    async with listening(most=3) as (made, port):
        held += [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        await eventually(lambda: made.connections == 3)
        for _ in range(5):
            assert not await echoes(port)
        assert made.refused == 5
        assert caplog.text.count("connections are refused") == 1
        assert "127.0.0.1" not in caplog.text
        held.pop().close()
        await eventually(lambda: made.connections == 2)
        assert await echoes(port)


async def test_one_address_cannot_take_every_place(
    held: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of 127/8 is loopback; here it stands for addresses of strangers."""
    monkeypatch.setattr(listener, "one_address", lambda address, exempt: address)
    async with listening(per_address=2) as (made, port):
        held += [socket.create_connection(("127.0.0.1", port)) for _ in range(2)]
        await eventually(lambda: made.connections == 2)
        assert not await echoes(port)
        assert await echoes(port, "127.0.0.2")


def test_what_counts_as_one_address() -> None:
    for loopback in ("127.0.0.9", "::1", "::ffff:127.0.0.1"):
        assert one_address(loopback) == ""
    assert one_address("192.0.2.1") == one_address("::ffff:192.0.2.1") != one_address("192.0.2.2")
    assert one_address("2001:db8::1") == one_address("2001:db8::2:1")
    assert one_address("2001:db8::1") != one_address("2001:db8:0:1::1")
    assert one_address("192.0.2.1", [ipaddress.ip_network("192.0.2.0/24")]) == ""


async def test_out_of_descriptors_is_said_once_and_passes(
    held: list[socket.socket], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "PAUSE_SECONDS", 0.02)
    mishaps: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: mishaps.append(what))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with listening() as (made, port):
        with socket.socket() as client:
            client.setblocking(False)
            lowest = client.fileno()
            # No descriptor from here on: this client's is the last.
            resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 1, hard))
            try:
                with contextlib.suppress(BlockingIOError):
                    client.connect(("127.0.0.1", port))
                await eventually(lambda: made.accept_errors >= 3)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await eventually(lambda: made.connections == 1)
        assert caplog.text.count("no connection can be accepted") == 1
        assert await echoes(port)
    assert mishaps == []


def test_the_limit_leaves_descriptors_for_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(400, hard), min(hard, 1 << 20)))
        wanted = connection_limit(200)
        assert wanted == 200
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 400 + listener.RESERVED_DESCRIPTORS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_two_listeners_on_one_port_are_refused() -> None:
    async with listening() as (_, port):
        other = Listener("other", Echo, max_connections=1, max_per_address=1)
        with pytest.raises(OSError, match="in use"):
            await other.start("127.0.0.1", port)
