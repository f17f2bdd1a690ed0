# SPDX-License-Identifier: Apache-2.0
"""Whether this process leads: the lease is taken by the loop and renewed by a task of its own, so
that no fold is so long that another process takes it.

A renewal that comes late does no harm: what is saved is refused once another process leads
(`monitor.store.lease`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from monitor.store.lease import Lease
from monitor.store.records import StoreUnavailableError
from monitor.store.shard import Shard

LEASE_SECONDS = 6
"""How long after its last renewal a dead leader is replaced."""
RENEW_SECONDS = 2.0
RETRY_SECONDS = 0.5
"""After a renewal that failed because the store was unavailable."""


class Leadership:
    """The right of one process to work on a shard."""

    def __init__(self, lease: Lease, holder: str, shard: Shard, clock: Callable[[], int]) -> None:
        self._lease, self._holder, self._shard, self._clock = lease, holder, shard, clock
        self.held = False
        """Whether this process leads, as far as it knows."""
        self.term = 0
        """How many times it has become the leader. What was loaded in an earlier term is out of
        date: another process may have led in between."""
        self._renewed = 0

    async def claim(self) -> bool:
        """Lead if no other process does. Raises StoreUnavailableError."""
        age = self._clock() - self._renewed
        if not (self.held and 0 <= age < 1000 * RENEW_SECONDS):
            await self._renew()
        return self.held

    async def keep(self) -> None:
        """Renew the lease in time while it is held, until cancelled."""
        wait = RENEW_SECONDS
        while True:
            await asyncio.sleep(wait)
            wait = RENEW_SECONDS
            if self.held:
                try:
                    await self._renew()
                except StoreUnavailableError:
                    wait = RETRY_SECONDS  # the fold finds out as well

    async def release(self) -> None:
        """Let the next leader begin before the lease expires."""
        if self.held:
            self.held = False
            try:
                await self._lease.lead(self._holder, 0, self._clock(), self._shard)
            except StoreUnavailableError:
                pass  # it expires by itself

    async def _renew(self) -> None:
        now, held = self._clock(), self.held
        self.held = await self._lease.lead(self._holder, LEASE_SECONDS, now, self._shard)
        self.term += self.held and not held
        self._renewed = now
