# SPDX-License-Identifier: Apache-2.0
"""`tcp`: every address accepts a connection."""

from __future__ import annotations

from probes.contrasts import partial_loss
from probes.endpoint.endpoint_run import EndpointRun


async def measure(run: EndpointRun) -> None:
    """Resolve and connect to every address, then to those that further resolvers give."""
    addresses = await run.addresses.first()
    connected = await run.for_each_address(addresses, _connect)
    own = run.addresses.system
    reached = any(ok for a, ok in zip(addresses, connected, strict=True) if a in own)
    await run.for_each_address(await run.addresses.further(reached=reached), _connect)


async def _connect(run: EndpointRun, address: str) -> bool:
    connection = await partial_loss.connect(run, address)
    connection.close()
    return connection.tcp.failure is None
