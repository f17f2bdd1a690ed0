# SPDX-License-Identifier: Apache-2.0
"""The share of connections that fails: further attempts when one failed and another succeeded.

A censor that blocks only some flows, by hash or at random, lets one of several attempts pass. So
does a network that loses packets. More attempts tell the two apart. Each attempt is an observation
of its own; nothing is judged here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count

from probes.contrasts import other_port, refusing_hop, same_port
from probes.endpoint.endpoint_run import LOCAL_FAILURES, Connection, EndpointRun
from probes.wire.failure import Failure
from probes.wire.observation import Contrast, TCPConnect

STAGES = ((6, 3), (12, 5))
"""Attempts at one address, the first two included, and how many of them fail where a share of the
connections is blocked. No more are made once so many failed, or once so many no longer can; the
next stage begins where so many did. On a line where one flow in thirty dies for good, three of six
die by chance at one address in three thousand, and a round dials dozens; five of twelve die at one
in a hundred and sixty thousand."""
OF_A_CONTROL = 6
"""Further connects to an endpoint that a control makes where the first passes: of a balancer with a
dead server behind it, one connect tells nothing."""
ADDRESSES = 4
"""Addresses of one endpoint at which attempts are repeated."""


async def repeat(
    run: EndpointRun,
    attempt: Callable[[int], Awaitable[bool]],
    *,
    failed: int = 1,
    succeeded: int = 1,
) -> None:
    """Call `attempt` (with 0, 1, ...; it returns whether it succeeded) until it is known whether
    as many fail as in the STAGES. `failed` and `succeeded` count the attempts made before.

    Does nothing in a retest, for liveness, or after ADDRESSES calls for one endpoint.
    """
    if (
        not run.course.contrasts
        or not run.course.repeats
        or not run.up_to("partial loss", ADDRESSES)
    ):
        return
    numbers = count()
    for attempts, many in STAGES:
        while failed < many and succeeded <= attempts - many:
            if await attempt(next(numbers)):
                succeeded += 1
            else:
                failed += 1
        if failed < many:
            return


async def connect(run: EndpointRun, address: str) -> Connection:
    """Open TCP as the app does. Where that fails, and at a control, innocuous hosts are connected
    to at the same port, and the address at another one; where it is refused, it is looked for who
    refuses."""
    if run.course.control:
        await _change_one_end(run, address)
    connection = await _connect_repeatedly(run, address)
    if connection.stream is None and not _is_final(connection.tcp):
        await _change_one_end(run, address)
        await refusing_hop.find(run, connection)
    return connection


async def _change_one_end(run: EndpointRun, address: str) -> None:
    """Connect to other hosts at the same port, and to another port of the same host."""
    async with asyncio.TaskGroup() as group:
        group.create_task(same_port.connect_beside(run, address))
        group.create_task(other_port.connect_beside(run, address))


async def _connect_repeatedly(run: EndpointRun, address: str) -> Connection:
    """Connect. After a failure that may be packet loss, try again from a new port;
    when that succeeds, find out how many attempts fail. After silence, from two new ports at the
    same time: where one flow in ten dies for good, two die by chance at one address in a hundred.
    A control connects several times in any case.
    """
    connection = await run.connect(address)
    if connection.stream is not None and run.course.control:
        while run.up_to("control", OF_A_CONTROL):
            (await _connect_again(run, address)).close()
    if connection.stream is not None or not run.course.repeats or _is_final(connection.tcp):
        return connection
    silent = connection.tcp.failure == Failure.TIMEOUT
    attempts = 2 if silent else 1
    several = run.for_each_address([address] * attempts, _connect_again)
    repeated = await run.again(silent or run.course.looks_closer, address, several)
    passed = [each for each in repeated if each.usable]
    if not passed:
        return repeated[-1]
    for each in passed[:-1]:
        each.close()
    failed = 1 + attempts - len(passed)
    return await repeat_connect(run, passed[-1], failed=failed, succeeded=len(passed))


async def repeat_connect(
    run: EndpointRun, connection: Connection, *, failed: int = 1, succeeded: int = 1
) -> Connection:
    """Connect several times more, after `failed` attempts failed and `succeeded` ones, this one the
    last, succeeded. Returns the newest open connection, because servers close idle ones."""
    newest = connection

    async def attempt(number: int) -> bool:
        nonlocal newest
        fresh = await _connect_again(run, connection.address)
        if fresh.usable:
            newest.close()
            newest = fresh
        return fresh.usable

    await repeat(run, attempt, failed=failed, succeeded=succeeded)
    return newest


async def _connect_again(run: EndpointRun, address: str) -> Connection:
    return await run.connect(address, contrast=Contrast.REPEAT)


def _is_final(seen: TCPConnect) -> bool:
    """The machine itself or the guard refused to connect; a repeat would fail as well."""
    local = seen.failure in LOCAL_FAILURES and seen.icmp_type is None
    return local or "not_dialled" in seen.evidence
