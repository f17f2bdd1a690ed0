# SPDX-License-Identifier: Apache-2.0
"""`mmtls-http`: WeChat's short link, a ClientHello of mmtls posted over clear-text HTTP. See
`probes.apps.mmtls` for what an answer proves and what not."""

from __future__ import annotations

from probes.apps import mmtls
from probes.endpoint.endpoint_run import Visit
from probes.protocols.app_handshake import speak


async def measure(visit: Visit) -> None:
    """Resolve, connect, post the hello; once more when no record of mmtls came."""
    host = visit.endpoint.server_name or visit.endpoint.address
    await speak(visit, lambda: mmtls.http_opening(host, visit.network.wall_ms()))
