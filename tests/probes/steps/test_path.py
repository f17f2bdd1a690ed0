"""The path step on loopback, where nothing is a hop away; routers are in the laboratory."""

from __future__ import annotations

import asyncio
import errno

import pytest

from probes.net.guard import Guard
from probes.net.network import ConnectError, Stream
from probes.net.socket_network import SocketNetwork
from probes.steps.context import StepContext
from probes.steps.path import QUIET, trace
from probes.wire.observation import PathHop, PathTrace, Purpose
from tests.world import tls_server
from tests.world.pki import Authority
from tests.world.tls_server import Behaviour
from tests.world.waiting import HANG_SECONDS

LAB = SocketNetwork(guard=Guard(allow_private=True))
NAME = "wechat.test"


async def traced(address: str, port: int, hop: float = 0.2) -> PathTrace:
    step = StepContext(
        LAB,
        "wechat.test:443/tls",
        address,
        port,
        LAB.clock_us(),
        purpose=Purpose.CONTRAST,
        timeout=15.0,
    )
    return await trace(step, sni=NAME, hop=hop)


@pytest.mark.parametrize(
    ("behaviour", "heard"),
    [
        (tls_server.reset, "reset"),
        (tls_server.fin, "eof"),
        (tls_server.silence, "silence"),
        (tls_server.alert(40), "alert"),
        (tls_server.tls(Authority().issue(NAME).context()), "answer"),
    ],
)
async def test_what_comes_back_at_the_first_hop(behaviour: Behaviour, heard: str):
    async with tls_server.serve(behaviour) as server:
        hop = 0.2 if heard == "silence" else HANG_SECONDS
        seen = await traced(server.address, server.port, hop)
        async with asyncio.timeout(HANG_SECONDS):
            while len(server.names) < 2:  # noqa: ASYNC110 - taken up in a thread
                await asyncio.sleep(0.01)
    assert seen.hops == (PathHop(ttl=1, hello=heard),)
    assert (seen.purpose, seen.sni, seen.failure) == (Purpose.CONTRAST, NAME, None)
    assert server.names == [NAME, ""]  # the SYN that knocks says nothing


async def test_nothing_listens():
    async with tls_server.serve(tls_server.reset) as server:
        port = server.port
    seen = await traced("127.0.0.1", port)
    assert [(hop.router, hop.hello) for hop in seen.hops] == [(None, None)] * QUIET


async def test_a_destination_that_may_not_be_dialled_is_not():
    async with tls_server.serve(tls_server.reset) as server:
        step = StepContext(SocketNetwork(), "e", server.address, server.port, 0)
        seen = await trace(step, sni=NAME, silent=True)
    assert server.hellos == []
    assert {hop.hello for hop in seen.hops} == {None}


class Way(SocketNetwork):
    """A way of some routers to a server, with a device on it that resets what shows a name. It
    answers in place of the kernel, so that no router is needed."""

    def __init__(self, device: int, server: int) -> None:
        super().__init__()
        self.device, self.server = device, server
        self.lives: dict[int, int] = {}

    async def connect(
        self, address: str, port: int, *, hops: int | None = None, narrow: bool = False
    ) -> Stream:
        if hops is not None and hops < self.server:
            expired = ConnectError(errno.EHOSTUNREACH, "expired")
            expired.icmp_type, expired.icmp_from = 11, f"192.0.2.{hops}"
            raise expired
        return OnTheWay(self)

    def limit_hops(self, stream: Stream, hops: int) -> None:
        self.lives[id(stream)] = hops


class OnTheWay:
    """A connection over it."""

    def __init__(self, way: Way) -> None:
        self.way = way

    async def send(self, payload: bytes) -> None:
        """Nothing is lost here."""

    async def receive(self, limit: int = 65536) -> bytes:
        if self.way.lives[id(self)] >= self.way.device:
            raise ConnectionResetError(errno.ECONNRESET, "reset")
        raise OSError(errno.EHOSTUNREACH, "expired")

    def close(self) -> None:
        """It holds nothing."""


@pytest.mark.parametrize(
    ("device", "server", "beyond"),
    [(2, 9, [3, 4]), (2, 4, [3]), (2, 3, []), (3, 3, [])],
    ids=["far before the server", "a hop before", "right before", "the server itself"],
)
async def test_two_hops_more_show_whether_the_server_is_farther_away(
    device: int, server: int, beyond: list[int]
):
    step = StepContext(Way(device, server), "e", "198.51.100.1", 443, 0)
    seen = await trace(step, sni=NAME)
    acting = next(hop for hop in seen.hops if hop.hello == "reset")
    assert (acting.ttl, acting.router) == (device, f"192.0.2.{device}" if device < server else None)
    after = [(hop.ttl, hop.router, hop.hello) for hop in seen.hops if hop.ttl > device]
    assert after == [(ttl, f"192.0.2.{ttl}", None) for ttl in beyond]
