# SPDX-License-Identifier: Apache-2.0
"""`tls`: every address completes a handshake with a valid certificate for the name."""

from __future__ import annotations

from probes.contrasts import tls_contrasts
from probes.endpoint.endpoint_run import EndpointRun


async def measure(run: EndpointRun) -> None:
    """Resolve, connect and do a handshake; on failure the SNI contrasts."""
    await tls_contrasts.measure(run)
