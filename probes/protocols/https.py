# SPDX-License-Identifier: Apache-2.0
"""`https`: as `tls`, and one request over the first good connection; then, when it is due, how
fast the bytes come."""

from __future__ import annotations

from probes.contrasts import sni, throughput
from probes.endpoint.endpoint_run import Link, Visit
from probes.wire.observation import Contrast, HTTPExchange, Purpose


async def measure(visit: Visit) -> None:
    """Resolve, connect, shake hands, ask; on failure the contrasts of the square."""
    asked: list[tuple[Link, HTTPExchange | None]] = []

    async def ask(visit: Visit, link: Link) -> None:
        asked.append((link, await _ask(visit, link)))

    await sni.reach(visit, ask)
    for link, answered in asked:
        await throughput.look(visit, link.address, answered, link.tcp.took_us)


async def _ask(visit: Visit, link: Link) -> HTTPExchange | None:
    """One request, and once more from a fresh port when the first one died. Returns the first."""
    seen = await visit.ask(link)
    if seen is None or seen.failure is None or not visit.repeats:
        return seen
    why, kind = Purpose.CONTRAST, Contrast.REPEAT
    fresh = await visit.connect(link.address, purpose=why, contrast=kind)
    shaken = await visit.shake(fresh, purpose=why, contrast=kind)
    await visit.ask(shaken, purpose=why, contrast=kind)
    return seen
