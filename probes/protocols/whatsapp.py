# SPDX-License-Identifier: Apache-2.0
"""`whatsapp`: a chat server accepts a connection and answers the first message of the Noise
handshake. See `probes.apps.whatsapp` for what that proves and what not."""

from __future__ import annotations

from probes.apps import whatsapp
from probes.endpoint.endpoint_run import Visit
from probes.protocols.app_handshake import speak


async def measure(visit: Visit) -> None:
    """Resolve, connect, say hello; once more when no ServerHello came."""
    await speak(visit, whatsapp.opening)
