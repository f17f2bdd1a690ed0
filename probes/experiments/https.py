"""`https`: as `tls`, and one request over the first good connection."""

from __future__ import annotations

from probes import square
from probes.visit import Link, Visit
from probes.wire.observation import Contrast, Purpose

PROTOCOL = "https"


async def measure(visit: Visit) -> None:
    """Resolve, connect, shake hands, ask; on failure the contrasts of the square."""
    await square.reach(visit, _ask)


async def _ask(visit: Visit, link: Link) -> None:
    """One request, and once more from a fresh port when the first one died."""
    seen = await visit.ask(link)
    if seen is None or seen.failure is None or not visit.repeats:
        return
    why, kind = Purpose.CONTRAST, Contrast.REPEAT
    fresh = await visit.connect(link.address, purpose=why, contrast=kind)
    shaken = await visit.shake(fresh, purpose=why, contrast=kind)
    await visit.ask(shaken, purpose=why, contrast=kind)
