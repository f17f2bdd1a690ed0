# SPDX-License-Identifier: Apache-2.0
"""How much is measured at the same time: a number of places, and one more for each endpoint that
only waits in silence."""

from __future__ import annotations

import asyncio
from collections import deque

from probes.endpoint.silence import SilentWaits

MOST_SILENT = 24
"""So many more at most: each target in progress costs some 140 kB."""


class Places:
    """Places that are taken in the order in which they are asked for. Whoever ends to wait in
    silence goes on at once, so that more may be taken for a while than there are."""

    def __init__(self, number: int, silence: SilentWaits) -> None:
        self.silence = silence
        self._number, self._taken = number, 0
        self._queue: deque[asyncio.Future[None]] = deque()
        silence.on_change.append(self._admit)

    async def wait_for_one(self) -> None:
        """Wait for a place and occupy it."""
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            raise

    def give_back(self) -> None:
        """Let another one have the place."""
        self._taken -= 1
        self._admit()

    async def __aenter__(self) -> None:
        await self.wait_for_one()

    async def __aexit__(self, *_: object) -> None:
        self.give_back()

    def _admit(self) -> None:
        while self._queue and self._taken < self._number + min(self.silence.endpoints, MOST_SILENT):
            turn = self._queue.popleft()
            if not turn.done():
                self._taken += 1
                turn.set_result(None)
