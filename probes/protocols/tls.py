# SPDX-License-Identifier: Apache-2.0
"""`tls`: every address completes a handshake with a valid certificate for the name."""

from __future__ import annotations

from probes.contrasts import sni
from probes.endpoint.endpoint_run import Visit


async def measure(visit: Visit) -> None:
    """Resolve, connect, shake hands; on failure the contrasts of the square."""
    await sni.reach(visit)
