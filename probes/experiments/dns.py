"""`dns`: only resolves the host."""

from __future__ import annotations

from probes.visit import Visit

PROTOCOL = "dns"


async def measure(visit: Visit) -> None:
    """Resolve; ask every reference resolver when none confirms the machine's own answer."""
    await visit.addresses()
    if not await visit.confirmed_by_reference():
        await visit.more_addresses()
