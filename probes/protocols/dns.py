# SPDX-License-Identifier: Apache-2.0
"""`dns`: only resolves the host."""

from __future__ import annotations

from probes.endpoint.endpoint_run import EndpointRun


async def measure(run: EndpointRun) -> None:
    """Resolve; ask more resolvers when the first reference resolver does not confirm the answer."""
    await run.addresses.resolve()
    await run.addresses.further(reached=bool(run.addresses.system))
