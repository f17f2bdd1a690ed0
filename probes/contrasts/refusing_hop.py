# SPDX-License-Identifier: Apache-2.0
"""Where connections are refused by RST: does the server refuse them, or a device on the way?

It is looked for once, in the first round that fails. Nothing is judged here.
"""

from __future__ import annotations

from dataclasses import replace

from probes.endpoint.endpoint_run import Connection, EndpointRun
from probes.steps import refusal
from probes.wire.failure import Failure
from probes.wire.observation import Purpose

MOST_HOSTS = 2
"""Innocuous hosts whose SYNs are to expire, at their port and at the service's."""
_BY_RST = (Failure.REFUSED, Failure.RESET)


async def find(run: EndpointRun, connection: Connection) -> None:
    """Find the hop at which connections to an address are refused, when the last one was."""
    course, seen = run.course, connection.tcp
    if seen.failure not in _BY_RST or seen.icmp_type is not None:
        return
    if course.control or course.failed_last_round or not (course.looks_closer and course.repeats):
        return
    if not run.once("path"):
        return
    alike = [host for host in run.means.alive if (":" in host[0]) == (":" in connection.address)]
    hosts = [(host, at) for host, port in alike[:MOST_HOSTS] for at in {port, connection.port}]
    step = run.step(connection.address, connection.port, purpose=Purpose.CONTRAST)
    run.observations.append(
        await refusal.trace(
            replace(step, timeout=run.timeouts.path), innocuous=hosts, hop=run.timeouts.hop
        )
    )
