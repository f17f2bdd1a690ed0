# SPDX-License-Identifier: Apache-2.0
"""`tcp`: every address accepts a connection."""

from __future__ import annotations

from probes.endpoint.endpoint_run import Link, Visit


async def measure(visit: Visit) -> None:
    """Resolve, connect to every address; then to those that a second opinion adds."""
    links = await visit.each(await visit.addresses(), _reach)
    reached = any(link.tcp.failure is None and link.address in visit.own for link in links)
    await visit.each(await visit.second_opinion(reached=reached), _reach)


async def _reach(visit: Visit, address: str) -> Link:
    link = await visit.connect_subject(address)
    link.close()
    return link
