# SPDX-License-Identifier: Apache-2.0
"""`stun`: a server for calls answers a Binding request over UDP. See `probes.apps.stun` for what
that proves and what not. Silence alone accuses nobody: many networks let no UDP through."""

from __future__ import annotations

from probes.apps import stun
from probes.endpoint.endpoint_run import Visit
from probes.protocols.app_handshake import speak_udp


async def measure(visit: Visit) -> None:
    """Resolve, ask every address; once more from a fresh port when it kept silent."""
    await speak_udp(visit, stun.opening, stun.RETRANSMIT_SECONDS)
