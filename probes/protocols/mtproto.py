# SPDX-License-Identifier: Apache-2.0
"""`mtproto`: a Telegram data centre accepts a connection and answers the first message of a key
exchange, without an account. See `probes.apps.mtproto` for what that proves and what not."""

from __future__ import annotations

from probes.apps import mtproto
from probes.endpoint.endpoint_run import Visit
from probes.protocols.app_handshake import speak


async def measure(visit: Visit) -> None:
    """Resolve, connect, ask for a resPQ; once more when none came."""
    await speak(visit, lambda: mtproto.opening(visit.network.wall_ms()))
