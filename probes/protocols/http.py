# SPDX-License-Identifier: Apache-2.0
"""`http`: every address accepts a connection, and the first one answers a clear request."""

from __future__ import annotations

from probes.contrasts import partial_loss
from probes.endpoint.endpoint_run import Link, Visit
from probes.wire.observation import Contrast, Purpose


async def measure(visit: Visit) -> None:
    """Resolve, connect, ask; when the request dies, an innocuous host name and a repeat."""
    links = await visit.each(await visit.addresses(), _reach_own)
    reached = any(link.tcp.failure is None and link.address in visit.own for link in links)
    links += await visit.each(await visit.second_opinion(reached=reached), _reach_own)
    other = next((link for link in links if link.tcp.failure is None), None)
    if other is not None and visit.first_time("application"):
        why, kind = Purpose.CONTRAST, Contrast.REPEAT
        await _ask(visit, await visit.connect(other.address, purpose=why, contrast=kind))


async def _reach_own(visit: Visit, address: str) -> Link:
    """Connect, and ask the first own answer that is reached, while it is open."""
    link = await visit.connect_subject(address)
    if link.good and address in visit.own and visit.first_time("application"):
        await _ask(visit, link)
    link.close()
    return link


async def _ask(visit: Visit, link: Link) -> None:
    if link.good:
        address = link.address
        innocuous_done = visit.contrasts and visit.failed_before
        if innocuous_done:
            await _innocuous(visit, address)
        seen = await visit.ask(link)
        if seen is not None and seen.failure is not None:
            if visit.contrasts and not innocuous_done:
                await _innocuous(visit, address)
            if visit.repeats and await _repeat(visit, address):
                await _share(visit, address)


async def _repeat(visit: Visit, address: str) -> bool:
    """The same once more from a fresh port; True when it was answered."""
    why, kind = Purpose.CONTRAST, Contrast.REPEAT
    fresh = await visit.connect(address, purpose=why, contrast=kind)
    seen = await visit.ask(fresh, purpose=why, contrast=kind)
    return seen is not None and seen.failure is None


async def _share(visit: Visit, address: str) -> None:
    """One request died and one was answered: how many of several die?"""

    async def once(number: int) -> bool:
        if number in (0, 2):
            await _innocuous(visit, address)
        return await _repeat(visit, address)

    await partial_loss.settle(visit, once)


async def _innocuous(visit: Visit, address: str) -> None:
    """The same request with an innocuous Host, from a fresh port."""
    name = visit.sni.innocuous
    if not name or name == visit.endpoint.server_name:
        return
    kind = Contrast.INNOCUOUS_NAME
    fresh = await visit.connect(address, purpose=Purpose.CONTRAST, contrast=kind)
    await visit.ask(fresh, host=name, purpose=Purpose.CONTRAST, contrast=kind)
