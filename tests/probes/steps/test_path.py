"""The path step on loopback, where nothing is a hop away; routers are in the laboratory."""

from __future__ import annotations

import asyncio

import pytest

from probes.net.guard import Guard
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
