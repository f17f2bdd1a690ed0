# SPDX-License-Identifier: Apache-2.0
"""How large a share of connections dies: a few more tries when one died and another passed.

Whoever blocks only some flows, by hash or by chance, lets one try of several through; so does a
network that loses a packet now and then. Some more tries tell them apart. Nothing is judged here:
each try is an observation of its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from probes.wire.observation import Contrast, Purpose

if TYPE_CHECKING:
    from probes.endpoint.endpoint_run import Link, Visit

TRIES = 6
"""Of one address, those that led here included."""
MANY = 3
"""Half of them: when so many died, or can no longer die, enough is known."""
ADDRESSES = 4
"""Of one endpoint, that are tried so often."""


async def settle(
    visit: Visit, once: Callable[[int], Awaitable[bool]], *, died: int = 1, passed: int = 1
) -> None:
    """Call `once` (with 0, 1, ...; it says whether a try passed) until it is known whether half or
    more of the tries die; not at all in a retest, for liveness, or at too many addresses."""
    if not visit.contrasts or not visit.repeats:
        return
    if not any(visit.first_time(f"share {n}") for n in range(ADDRESSES)):
        return
    number = 0
    while died < MANY and passed <= TRIES - MANY:
        if await once(number):
            passed += 1
        else:
            died += 1
        number += 1


async def connections(visit: Visit, good: Link) -> Link:
    """Connect some more after one connection failed and this one came about; return an open one,
    the newest, because servers close idle ones."""
    newest = good

    async def once(number: int) -> bool:
        nonlocal newest
        fresh = await visit.connect(
            good.address, purpose=Purpose.CONTRAST, contrast=Contrast.REPEAT
        )
        if fresh.good:
            newest.close()
            newest = fresh
        return fresh.good

    await settle(visit, once)
    return newest
