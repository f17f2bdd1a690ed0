# SPDX-License-Identifier: Apache-2.0
"""The path step where connections are refused: how far away is who refuses them, and is the server
farther?

A SYN may live for one hop, then for one more each time. Where it expires, a router reports this;
where it is refused, whoever refuses stands there or nearer. Who reads addresses and ports of TCP
lets datagrams pass, so routers some hops farther report that these expire. Whether a transparent
proxy refuses in the name of every server, SYNs of the same life to innocuous hosts tell: they
expire, unless a proxy answers them. No privilege is needed, and failures of the network never
raise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from probes.net.network import Network
from probes.net.short_life import REFUSED, send_datagram, send_syn
from probes.steps.context import StepContext
from probes.wire.observation import INNOCUOUS_EXPIRES, PathHop, PathTrace

FARTHER = (0, 4, 5, 6)
"""Hops, from where connections are refused, at which a datagram is sent. The border, the spine and
the leaf of a data centre stand before its servers, and its firewall may stand before them."""
MAX_HOPS = 16
HostPort = tuple[str, int]


async def trace(
    step: StepContext, *, innocuous: Sequence[HostPort] = (), hop: float = 1.0
) -> PathTrace:
    """Return what answered SYNs with TTL 1, 2, ..., until one was refused or accepted; where it was
    refused, the routers at which datagrams expire there and some hops farther as well.

    `innocuous`: hosts that are known to answer. `hop` limits the wait for one answer, in seconds.
    """
    network, begin = step.network, step.network.clock_us()
    hops: list[PathHop] = []
    evidence: tuple[str, ...] = ()
    try:
        async with asyncio.timeout(step.timeout):
            for ttl in range(1, MAX_HOPS + 1):
                router, answer = await send_syn(network, step.address, step.port, ttl, hop)
                hops.append(PathHop(ttl=ttl, router=router, syn=answer))
                if answer is not None:
                    break
            if hops[-1].syn == REFUSED:
                expire = await _all_expire(network, innocuous, hops[-1].ttl, hop)
                evidence = (INNOCUOUS_EXPIRES,) if expire else ()
                hops[-1:] = await _look_farther(step, hops[-1].ttl, hop)
    except TimeoutError:
        pass  # the hops so far are kept
    took = network.clock_us() - begin
    return PathTrace(**step.fields(begin, took), sni="", evidence=evidence, hops=tuple(hops))


async def _all_expire(network: Network, hosts: Sequence[HostPort], ttl: int, wait: float) -> bool:
    """Whether there are hosts, and none of them answers a SYN with this TTL."""
    async with asyncio.TaskGroup() as group:
        sent = [group.create_task(send_syn(network, *host, ttl, wait)) for host in hosts]
    answers = [syn.result()[1] for syn in sent]
    return bool(answers) and set(answers) == {None}


async def _look_farther(step: StepContext, refused: int, wait: float) -> list[PathHop]:
    """The hop that refuses, and those behind it, with the routers at which datagrams expire."""
    network, address, port = step.network, step.address, step.port
    async with asyncio.TaskGroup() as group:
        sent = {
            ttl: group.create_task(send_datagram(network, address, port, ttl, wait))
            for ttl in (refused + farther for farther in FARTHER)
        }
    return [
        PathHop(ttl=ttl, router=datagram.result(), syn=REFUSED if ttl == refused else None)
        for ttl, datagram in sent.items()
    ]
