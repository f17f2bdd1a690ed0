# SPDX-License-Identifier: Apache-2.0
"""The first exchange of an app's own protocol at every address, and once more where it failed.

TCP and TLS come first and are recorded as observations of their own. There is no innocuous variant
of an app's protocol: blocking and faults are told apart by a repeat from a new port, by the
control, and by what our own host gets for other first bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from probes.contrasts import partial_loss, same_port, tls_contrasts
from probes.endpoint.endpoint_run import LOCAL_FAILURES, Connection, EndpointRun
from probes.steps import app
from probes.steps.app import AppRequest
from probes.wire.failure import Failure
from probes.wire.observation import AppExchange, Contrast, Purpose

MakeRequest = Callable[[], AppRequest]
"""Makes a new request: random numbers and message ids are used once."""


async def exchange_over_tcp(run: EndpointRun, make_request: MakeRequest) -> None:
    """Resolve, connect to every address and make the exchange there."""

    async def reach(run: EndpointRun, address: str) -> bool:
        connection = await partial_loss.connect(run, address)
        if not connection.usable:
            return False
        request = make_request()
        seen = await _exchange(run, connection, request)
        if not seen.spoke and run.course.repeats:
            doubtful = seen.failure == Failure.TIMEOUT or run.course.looks_closer
            connect = run.connect(address, contrast=Contrast.REPEAT)
            fresh = await run.again(doubtful, address, connect)
            if fresh.usable:
                seen = await _exchange(run, fresh, make_request(), Contrast.REPEAT)
        if not seen.spoke or run.course.control:
            await same_port.speak_beside(run, request)
        return seen.spoke

    await _reach_all(run, reach)


async def exchange_over_tls(run: EndpointRun, make_request: MakeRequest) -> None:
    """As `tls`, and the exchange once, on the first usable connection."""

    async def application(run: EndpointRun, connection: Connection) -> None:
        seen = await _exchange(run, connection, make_request())
        if seen.spoke or not run.course.repeats:
            return
        address, silent = connection.address, seen.failure == Failure.TIMEOUT
        fresh = await run.again(silent, address, tls_contrasts.reconnect(run, address))
        if fresh.usable:
            await _exchange(run, fresh, make_request(), Contrast.REPEAT)

    await tls_contrasts.measure(run, application)


async def exchange_over_udp(
    run: EndpointRun, make_request: MakeRequest, pauses: Sequence[float]
) -> None:
    """Resolve and make the exchange with every address, each time from a new port. `pauses`:
    seconds before the request is sent again."""

    async def reach(run: EndpointRun, address: str) -> bool:
        seen = await exchange_once(run, make_request(), pauses, address)
        final = seen.failure in LOCAL_FAILURES and seen.icmp_type is None
        if not seen.spoke and run.course.repeats and not final and not seen.evidence:
            silent = seen.failure == Failure.TIMEOUT
            repeat = exchange_once(run, make_request(), pauses, address, contrast=Contrast.REPEAT)
            seen = await run.again(silent, address, repeat, udp=True)
        return seen.spoke

    await _reach_all(run, reach)


async def exchange_once(
    run: EndpointRun,
    request: AppRequest,
    pauses: Sequence[float],
    address: str,
    *,
    port: int | None = None,
    protocol: str | None = None,
    contrast: Contrast | None = None,
    purpose: Purpose | None = None,
) -> AppExchange:
    """Make one exchange over UDP and record it: with the endpoint, unless told otherwise."""
    attempt = app.over_datagrams(
        run.step(address, port, contrast=contrast, purpose=purpose),
        request,
        protocol=protocol or run.endpoint.protocol,
        pauses=pauses,
    )
    seen = await run.while_silent(address, attempt)
    run.observations.append(seen)
    return seen


async def _reach_all(
    run: EndpointRun, reach: Callable[[EndpointRun, str], Awaitable[bool]]
) -> None:
    addresses = await run.addresses.first()
    spoke = dict(zip(addresses, await run.for_each_address(addresses, reach), strict=True))
    reached = any(spoke[address] for address in spoke if address in run.addresses.system)
    await run.for_each_address(await run.addresses.further(reached=reached), reach)


async def _exchange(
    run: EndpointRun,
    connection: Connection,
    request: AppRequest,
    contrast: Contrast | None = None,
) -> AppExchange:
    """Make the exchange over an open connection, record it and close the connection."""
    assert connection.stream is not None
    try:
        attempt = app.over_stream(
            run.step(connection.address, connection.port, contrast=contrast),
            connection.stream,
            request,
            client=connection.client,
            protocol=run.endpoint.protocol,
        )
        seen = await run.while_silent(connection.address, attempt)
    finally:
        connection.close()
    run.observations.append(seen)
    return seen
