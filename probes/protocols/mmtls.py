# SPDX-License-Identifier: Apache-2.0
"""`mmtls`: WeChat's long link accepts a connection and answers a ClientHello of mmtls. See
`probes.apps.mmtls` for what that proves and what not."""

from __future__ import annotations

from probes.apps import mmtls
from probes.endpoint.endpoint_run import Visit
from probes.protocols.app_handshake import speak


async def measure(visit: Visit) -> None:
    """Resolve, connect, say hello; once more when no record of mmtls came."""
    await speak(visit, lambda: mmtls.opening(visit.network.wall_ms()))
