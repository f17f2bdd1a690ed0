"""Each step that waits in vain says whether this machine itself was late meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from probes.net.guard import Guard
from probes.net.resolvers import ResolverRoute
from probes.net.socket_network import SocketNetwork
from probes.protocols import stun, whatsapp
from probes.steps import app, http, quic, tcp, tls
from probes.steps.context import StepContext
from probes.steps.dns import WantedLookup, begin_lookup
from probes.wire.failure import Failure
from probes.wire.observation import MACHINE_LATE, Observation

SECONDS = 0.3


class Unconnected(SocketNetwork):
    """Nobody answers a SYN."""

    async def connect(self, *_: object, **__: object):
        await asyncio.sleep(60)


LAB = SocketNetwork(guard=Guard(allow_private=True))
NOBODY = Unconnected(guard=Guard(allow_private=True))


@contextlib.asynccontextmanager
async def silent(kind: int) -> AsyncIterator[int]:
    """A port at which nobody says anything."""
    with socket.socket(socket.AF_INET, kind) as listening:
        listening.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            listening.listen()
        yield listening.getsockname()[1]


def step(port: int, network: SocketNetwork = LAB) -> StepContext:
    return StepContext(network, "e", "127.0.0.1", port, 0, timeout=SECONDS)


async def connect() -> Observation:
    return (await tcp.connect(step(9, NOBODY)))[0]


async def over_stream(take: Callable[..., Awaitable[Observation]]) -> Observation:
    async with silent(socket.SOCK_STREAM) as port:
        stream = await LAB.connect("127.0.0.1", port)
        try:
            return await take(step(port), stream)
        finally:
            stream.close()


async def handshake() -> Observation:
    async def take(at, stream):
        return (await tls.handshake(at, stream, sni="a.example"))[0]

    return await over_stream(take)


async def request() -> Observation:
    async def take(at, stream):
        return (await http.exchange(at, stream, None, host="a.example", path="/"))[0]

    return await over_stream(take)


async def exchange() -> Observation:
    async def take(at, stream):
        return await app.over_stream(at, stream, whatsapp.request(), protocol="whatsapp")

    return await over_stream(take)


async def initials() -> Observation:
    async with silent(socket.SOCK_DGRAM) as port:
        return await quic.handshake(step(port), sni="a.example")


async def call() -> Observation:
    async with silent(socket.SOCK_DGRAM) as port:
        return await app.over_datagrams(step(port), stun.request(), protocol="stun")


async def lookup() -> Observation:
    async with silent(socket.SOCK_DGRAM) as port:
        route = ResolverRoute(id="lab", transport="udp", address="127.0.0.1", port=port)
        wanted = WantedLookup(
            endpoint="e",
            name="a.example",
            qtype="A",
            started_us=0,
            window=0.01,
            timeout=SECONDS,
        )
        async with asyncio.TaskGroup() as group:
            pending = begin_lookup(group, LAB, wanted, route)
        return await pending.finish()


STEPS = (connect, handshake, request, exchange, initials, call, lookup)


@pytest.mark.parametrize("take", STEPS, ids=lambda take: take.__name__)
async def test_a_step_on_a_machine_that_stood_still_says_so(take):
    loop = asyncio.get_running_loop()

    def stand_still(times: int) -> None:
        time.sleep(0.5)
        if times > 1:
            loop.call_later(0.01, stand_still, times - 1)

    loop.call_later(0.01, stand_still, 8)
    seen = await take()
    assert seen.failure == Failure.TIMEOUT
    assert MACHINE_LATE in seen.evidence
