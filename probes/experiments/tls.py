"""`tls`: every address completes a handshake with a valid certificate for the name."""

from __future__ import annotations

from probes import square
from probes.visit import Visit

PROTOCOL = "tls"


async def measure(visit: Visit) -> None:
    """Resolve, connect, shake hands; on failure the contrasts of the square."""
    await square.reach(visit)
