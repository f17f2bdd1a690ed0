# SPDX-License-Identifier: Apache-2.0
"""Where connections are refused by RST: does the server refuse them, or a device on the way; and
are innocuous hosts refused there as well?

It is looked for once an endpoint and round: in the first round that fails on the whole way, in
others near the vantage alone, where offices have their devices. Nothing is judged here.
"""

from __future__ import annotations

from dataclasses import replace

from probes.endpoint.endpoint_run import Connection, EndpointRun
from probes.net.resolvers import parse_authority
from probes.steps import refusal
from probes.wire.failure import Failure
from probes.wire.observation import Purpose

MOST_HOSTS = 2
"""Liveness hosts whose SYNs are to expire, beside our own host, which is on no list."""
NEAR_HOPS = 4
_BY_RST = (Failure.REFUSED, Failure.RESET)


async def find(run: EndpointRun, connection: Connection) -> None:
    """Find the hop at which connections to an address are refused, when the last one was."""
    course, seen = run.course, connection.tcp
    if seen.failure not in _BY_RST or seen.icmp_type is not None:
        return
    if course.control or not (course.contrasts and course.repeats) or not run.once("who refuses"):
        return
    hosts = [parse_authority(run.sni.address, 443)] if run.sni.address else []
    hosts += run.means.alive
    alike = [host for host in hosts if (":" in host[0]) == (":" in connection.address)]
    step = run.step(connection.address, connection.port, purpose=Purpose.CONTRAST)
    run.observations.append(
        await refusal.trace(
            replace(step, timeout=run.timeouts.path),
            innocuous=alike[: 1 + MOST_HOSTS],
            farthest=NEAR_HOPS if course.failed_last_round else refusal.MAX_HOPS,
            hop=run.timeouts.hop,
        )
    )
