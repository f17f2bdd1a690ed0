# SPDX-License-Identifier: Apache-2.0
"""`matrix`: as `tls`, and a homeserver tells the versions that it speaks. See `probes.apps.matrix`
for what that proves and what not."""

from __future__ import annotations

from probes.apps import matrix
from probes.endpoint.endpoint_run import Visit
from probes.protocols.app_handshake import speak_tls


async def measure(visit: Visit) -> None:
    """Resolve, connect, shake hands, ask; on failure the contrasts of the square."""
    host, path = visit.endpoint.server_name, visit.endpoint.path
    await speak_tls(visit, lambda: matrix.opening(host, matrix.PATH if path == "/" else path))
