"""A DNS lookup under way: what it is good for early, and what it was in the end."""

from __future__ import annotations

import asyncio

from probes.wire.observation import DNSLookup


class PendingLookup:
    """A lookup under way: what a stub would believe early, everything later."""

    def __init__(self) -> None:
        self._settled = asyncio.Event()
        self._over = asyncio.Event()
        self._observation: DNSLookup | None = None

    async def first(self) -> DNSLookup:
        """Return the observation as soon as it is settled: first reply, or failure."""
        return await self._when(self._settled)

    async def finish(self) -> DNSLookup:
        """Return the observation with every reply of the listening window."""
        return await self._when(self._over)

    async def _when(self, event: asyncio.Event) -> DNSLookup:
        await event.wait()
        if self._observation is None:
            raise RuntimeError("a lookup is over and saw nothing")
        return self._observation

    def settle(self, observation: DNSLookup) -> None:
        """Make `first` return this."""
        self._observation = observation
        self._settled.set()

    def end(self, observation: DNSLookup) -> None:
        """Make `finish` (and `first`) return this."""
        self.settle(observation)
        self._over.set()
