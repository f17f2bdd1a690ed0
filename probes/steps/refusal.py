# SPDX-License-Identifier: Apache-2.0
"""The path step where connections are refused: how far away is who refuses them, and is the server
farther?

A SYN may live for one hop, then for one more each time. Where it expires, a router reports this;
where it is refused, whoever refuses stands there or nearer. Who reads addresses and ports of TCP
lets datagrams pass, so routers some hops farther report that these expire. Whether a proxy answers
in the name of every server, or the port is refused whatever the host, SYNs of the same life to
innocuous hosts tell: where these are not concerned, they expire. No privilege is needed, and
failures of the network never raise.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from probes.net.short_life import REFUSED, send_datagram, send_syn
from probes.steps.context import StepContext
from probes.wire.observation import INNOCUOUS_EXPIRES, INNOCUOUS_REFUSED, PathHop, PathTrace

FARTHER = (0, 4, 5, 6)
"""Hops, from where connections are refused, at which a datagram is sent. The border, the spine and
the leaf of a data centre stand before its servers, and its firewall may stand before them."""
MAX_HOPS = 16
HostPort = tuple[str, int]


async def trace(
    step: StepContext,
    *,
    innocuous: Sequence[HostPort] = (),
    farthest: int = MAX_HOPS,
    hop: float = 1.0,
) -> PathTrace:
    """Return what answered SYNs with TTL 1, 2, ..., `farthest` at most, until one was refused or
    accepted; where it was refused, the routers at which datagrams expire there and some hops
    farther as well.

    `innocuous`: hosts, with a port at which each is known to answer. `hop` limits the wait for one
    answer, in seconds.
    """
    network, begin = step.network, step.network.clock_us()
    hops: list[PathHop] = []
    evidence: tuple[str, ...] = ()
    try:
        async with asyncio.timeout(step.timeout):
            for ttl in range(1, farthest + 1):
                router, answer = await send_syn(network, step.address, step.port, ttl, hop)
                hops.append(PathHop(ttl=ttl, router=router, syn=answer))
                if answer is not None:
                    break
            if hops[-1].syn == REFUSED:
                evidence = await _compare(step, innocuous, hops[-1].ttl, hop)
                hops[-1:] = await _look_farther(step, hops[-1].ttl, hop)
    except TimeoutError:
        pass  # the hops so far are kept
    took = network.clock_us() - begin
    return PathTrace(**step.fields(begin, took), sni="", evidence=evidence, hops=tuple(hops))


async def _compare(
    step: StepContext, hosts: Sequence[HostPort], ttl: int, wait: float
) -> tuple[str, ...]:
    """What SYNs with this TTL to innocuous hosts show, at a port that each serves and at the
    service's. A host at whose open port they expire is farther away. One that is refused there may
    be blocked itself."""

    async def answer(host: str, port: int) -> str | None:
        return (await send_syn(step.network, host, port, ttl, wait))[1]

    async with asyncio.TaskGroup() as group:
        pairs = [
            (group.create_task(answer(host, port)), group.create_task(answer(host, step.port)))
            for host, port in hosts
        ]
    answers = [(served.result(), ours.result()) for served, ours in pairs]
    if (None, REFUSED) in answers:
        return (INNOCUOUS_REFUSED,)
    is_silent = answers and set(answers) == {(None, None)}
    return (INNOCUOUS_EXPIRES,) if is_silent else ()


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
