# SPDX-License-Identifier: Apache-2.0
"""An innocuous host at the service's port, and with first bytes that no app sends.

Many networks let only a few ports out, whatever is behind them, or only hosts on a list, and some
boxes answer for every host that they do not spare. Where a service fails, our own host and two
liveness hosts are connected to at the service's port, and our own host gets other first bytes of
the same length. What these hosts do where nothing is in the way, controls show, which always make
these contrasts.
Nothing is judged here.
"""

from __future__ import annotations

import asyncio

from probes.endpoint.endpoint_run import Connection, EndpointRun
from probes.net.resolvers import parse_authority
from probes.steps import app
from probes.steps.app import AppRequest, NoReply, Parsed, is_http
from probes.wire.observation import SAME_PORT, Contrast, Purpose

MOST_HOSTS = 2
"""Liveness hosts; fewer strangers are asked than where a machine may be offline."""
_TEXT = b"Good morning.\r\n\r\n"
"""Neither TLS nor HTTP, nor bytes that look random, which some censors drop from anybody."""


async def connect_beside(run: EndpointRun, address: str) -> None:
    """Connect to innocuous hosts at the endpoint's port, once: to our own, which is on no list, and
    to liveness hosts of this address family where none was reached at this port."""
    if not run.course.contrasts or not run.once(f"same port over IPv{6 if ':' in address else 4}"):
        return
    ours = _ours(run)
    hosts = [ours] if ours is not None and run.once("our own host at this port") else []
    alive = [host for host in run.means.alive if (":" in host[0]) == (":" in address)]
    if all(port != run.endpoint.port for _, port in alive):
        hosts += [host for host, _ in alive][:MOST_HOSTS]
    async with asyncio.TaskGroup() as group:
        for host in hosts:
            group.create_task(_connect(run, host))


async def speak_beside(run: EndpointRun, request: AppRequest) -> None:
    """Send our own host other first bytes than the app's `request`, at the same port, once."""
    ours = _ours(run)
    if not run.course.contrasts or ours is None or not run.once("other bytes"):
        return
    connection = await run.connect(ours, contrast=Contrast.REFLECTOR)
    if connection.stream is None:
        return
    text = (_TEXT * (1 + len(request.payload) // len(_TEXT)))[: max(1, len(request.payload))]
    try:
        seen = await app.over_stream(
            run.step(ours, contrast=Contrast.REFLECTOR),
            connection.stream,
            AppRequest(text, _foreign),
            protocol=run.endpoint.protocol,
        )
    finally:
        connection.close()
    run.observations.append(seen)


def _ours(run: EndpointRun) -> str | None:
    return parse_authority(run.sni.address, 443)[0] if run.sni.address else None


def _foreign(received: bytes) -> Parsed:
    """Whatever comes is no app's answer; of a page, enough to recognise it."""
    page = is_http(received) and b"</" not in received
    return NoReply.INCOMPLETE if page or not received else NoReply.FOREIGN


async def _connect(run: EndpointRun, host: str) -> None:
    connection: Connection = await run.connect(host, purpose=Purpose.CONTRAST)
    connection.close()
    run.add_evidence(connection.tcp, SAME_PORT)
