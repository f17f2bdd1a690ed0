# SPDX-License-Identifier: Apache-2.0
"""A DNS lookup under way: what it is good for early, and what it was in the end."""

from __future__ import annotations

import asyncio

from probes.wire.observation import DNSLookup


class PendingLookup:
    """A lookup under way: what a stub would believe early, everything later.

    A round holds hundreds of these, so there is no event in it: only who waits.
    """

    __slots__ = ("_early", "_late", "_observation", "_over")

    def __init__(self) -> None:
        self._observation: DNSLookup | None = None
        self._over = False
        self._early: list[asyncio.Future[None]] = []
        self._late: list[asyncio.Future[None]] = []

    async def first(self) -> DNSLookup:
        """Return the observation as soon as it is settled: first reply, or failure."""
        if self._observation is None:
            await _woken(self._early)
        return self._seen()

    async def finish(self) -> DNSLookup:
        """Return the observation with every reply of the listening window."""
        if not self._over:
            await _woken(self._late)
        return self._seen()

    def settle(self, observation: DNSLookup) -> None:
        """Make `first` return this."""
        self._observation = observation
        _wake(self._early)

    def end(self, observation: DNSLookup) -> None:
        """Make `finish` (and `first`) return this."""
        self.settle(observation)
        self._over = True
        _wake(self._late)

    def _seen(self) -> DNSLookup:
        if self._observation is None:
            raise RuntimeError("a lookup is over and saw nothing")
        return self._observation


async def _woken(waiting: list[asyncio.Future[None]]) -> None:
    """Wait until this list is woken. Each waits by itself: one may be cancelled alone."""
    mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting.append(mine)
    try:
        await mine
    finally:
        waiting.remove(mine)


def _wake(waiting: list[asyncio.Future[None]]) -> None:
    for each in waiting:
        if not each.done():
            each.set_result(None)
