"""Clients joined to a broker elsewhere: back pressure, TLS, and ends from either side."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from monitor.broker.relay import relay
from probes.runtime.broker_url import parse_broker
from tests.world.pki import Authority
from tests.world.waiting import HANG_SECONDS, eventually

MUCH = 24 << 20
KEPT = 16 << 20
"""More than both sockets of a way hold, and less than MUCH."""


@dataclass
class Joined:
    """A client, and the broker that it is joined to."""

    port: int
    arrived: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def pair(
        self,
    ) -> tuple[
        tuple[asyncio.StreamReader, asyncio.StreamWriter],
        tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ]:
        """The client's end and the broker's end of one connection."""
        client = await asyncio.open_connection("127.0.0.1", self.port)
        await eventually(lambda: bool(self.arrived))
        return client, self.arrived.pop()


@contextlib.asynccontextmanager
async def joined(tls: ssl.SSLContext | None = None, scheme: str = "mqtt") -> AsyncIterator[Joined]:
    made = Joined(0)
    far = await asyncio.start_server(
        lambda reader, writer: made.arrived.append((reader, writer)), "127.0.0.1", 0, ssl=tls
    )
    port = far.sockets[0].getsockname()[1]
    broker = parse_broker(f"{scheme}://localhost:{port}?address=127.0.0.1")
    near = await asyncio.get_running_loop().create_server(lambda: relay(broker), "127.0.0.1", 0)
    made.port = near.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        near.close()
        far.close()
        await asyncio.sleep(0.05)


async def until_full(writer: asyncio.StreamWriter) -> int:
    """Write until nothing more is taken; how much that was."""
    sent = 0
    while sent < MUCH:
        writer.write(bytes(1 << 20))
        sent += 1 << 20
        try:
            async with asyncio.timeout(0.5):
                await writer.drain()
        except TimeoutError:
            break
    return sent


@pytest.mark.parametrize("slow", ["broker", "client"])
async def test_whoever_reads_slowly_slows_the_other_and_loses_nothing(slow: str) -> None:
    async with joined() as made:
        client, broker = await made.pair()
        (reader, to_close), (_, writer) = (broker, client) if slow == "broker" else (client, broker)
        sent = await until_full(writer)
        assert sent < KEPT
        async with asyncio.timeout(HANG_SECONDS):
            assert await reader.readexactly(sent) == bytes(sent)
            await writer.drain()
        writer.close()
        to_close.close()


async def test_bytes_arrive_as_they_are_and_an_end_ends_both() -> None:
    async with joined() as made:
        for leaves in (0, 1):
            ends = await made.pair()
            (reader, writer), (far_reader, far_writer) = ends
            writer.write(b"\x10\x00\xff")
            assert await far_reader.readexactly(3) == b"\x10\x00\xff"
            far_writer.write(b"\x20\x02")
            assert await reader.readexactly(2) == b"\x20\x02"
            ends[leaves][1].close()
            async with asyncio.timeout(HANG_SECONDS):
                assert await ends[1 - leaves][0].read() == b""
            ends[1 - leaves][1].close()


async def test_a_broker_with_tls_is_asked_for_its_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    authority = Authority()
    server = authority.issue("localhost").context()
    trusting = ssl.create_default_context(cadata=authority.pem)
    monkeypatch.setattr("monitor.broker.relay.monitor_tls", lambda: trusting)
    async with joined(server, "mqtts") as made:
        (_, writer), (far_reader, far_writer) = await made.pair()
        writer.write(b"hello")
        assert await far_reader.readexactly(5) == b"hello"
        writer.close()
        far_writer.close()
    monkeypatch.setattr("monitor.broker.relay.monitor_tls", ssl.create_default_context)
    async with joined(server, "mqtts") as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        async with asyncio.timeout(HANG_SECONDS):
            assert await reader.read() == b""
        writer.close()


@pytest.mark.parametrize("answered", [False, True])
async def test_a_silent_client_is_disconnected(
    answered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sooner when the broker has not answered it: there was no CONNECT."""
    for name, applies in (("SILENCE_SECONDS", answered), ("CONNECT_SECONDS", not answered)):
        monkeypatch.setattr(f"monitor.broker.relay.{name}", 1.5 if applies else 2 * HANG_SECONDS)
    loop = asyncio.get_running_loop()
    async with joined() as made:
        (reader, writer), (far_reader, far_writer) = await made.pair()
        if answered:
            far_writer.write(b"\x20")
            assert await reader.readexactly(1) == b"\x20"
        await asyncio.sleep(0.3)
        spoke = loop.time()
        writer.write(b"x")
        await far_reader.readexactly(1)
        with contextlib.suppress(ConnectionResetError):
            async with asyncio.timeout(HANG_SECONDS):
                assert await reader.read() == b""
        assert loop.time() - spoke >= 1.5, "what it says gives it time again"
        writer.close()
        far_writer.close()
