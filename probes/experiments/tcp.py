"""`tcp`: every address accepts a connection."""

from __future__ import annotations

from probes.visit import Link, Visit

PROTOCOL = "tcp"


async def measure(visit: Visit) -> None:
    """Resolve, connect to every address; with nothing to prove an own answer, ask the others."""
    links = await visit.each(await visit.addresses(), _reach)
    reached = any(link.tcp.failure is None and link.address in visit.own for link in links)
    if not reached or not await visit.confirmed_by_reference():
        await visit.each(await visit.more_addresses(), _reach)


async def _reach(visit: Visit, address: str) -> Link:
    link = await visit.connect_subject(address)
    link.close()
    return link
