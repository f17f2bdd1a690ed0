# SPDX-License-Identifier: Apache-2.0
"""`https`: as `tls`, and one request over the first usable connection; then, where it is due, the
throughput."""

from __future__ import annotations

from probes.contrasts import throughput, tls_contrasts
from probes.endpoint.endpoint_run import Connection, EndpointRun
from probes.wire.observation import Contrast, HTTPExchange


async def measure(run: EndpointRun) -> None:
    """Resolve, connect, do a handshake and send a request; on failure the SNI contrasts."""
    answered: list[tuple[Connection, HTTPExchange | None]] = []

    async def application(run: EndpointRun, connection: Connection) -> None:
        answered.append((connection, await _request(run, connection)))

    await tls_contrasts.measure(run, application)
    for connection, exchange in answered:
        await throughput.measure(run, connection.address, exchange, connection.tcp.took_us)


async def _request(run: EndpointRun, connection: Connection) -> HTTPExchange | None:
    """Send one request; when it fails, once more from a new port. Returns the first exchange."""
    seen = await run.http_request(connection)
    if seen is not None and seen.failure is not None and run.course.repeats:
        fresh = await tls_contrasts.reconnect(run, connection.address)
        await run.http_request(fresh, contrast=Contrast.REPEAT)
    return seen
